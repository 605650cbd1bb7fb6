#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <memory>

#include "cli/bench.h"
#include "cli/run_setup.h"
#include "cli/weight_format.h"
#include "gear/sample/generate.h"
#include "gear/train/run_config.h"

// B batch, L tokens per image

namespace gear::cli {
namespace {

/// A network of the configured shape whose logits differ, as after some training.
models::ArModel network(const SampleBench& options) {
  const auto config = config::load<train::RunConfig>(options.config, options.overrides);
  auto shape = config.resolved_ar();
  if (shape.num_classes == 0) shape.num_classes = 1000;
  models::ArModel ar(shape);
  const at::NoGradGuard no_grad;
  ar->output->weight.normal_(0.0, shape.init_std);
  return ar;
}

/// step_bytes: of the weights, which every step reads.
Contender contender(const std::string& name, const models::ArDecoder& decoder, double step_bytes,
                    const SampleBench& options) {
  const auto labels = at::zeros({options.batch}, at::kLong);
  const sample::SampleOptions sampling = {.cfg = options.cfg, .top_k = options.top_k};
  const auto tokens = static_cast<double>(decoder.model()->config().num_tokens);
  return {.name = name + ", batch " + std::to_string(options.batch),
          .work = [=] { sample::generate_tokens(decoder, labels, sampling); },
          .volume = {.bytes = tokens * step_bytes,
                     .items = tokens * static_cast<double>(options.batch)}};
}

}  // namespace

BenchReport bench_sample(const SampleBench& options) {
  const auto ar = network(options);
  const auto& shape = ar->config();
  std::vector<Contender> contenders;
  if (!options.skip_plain) {
    contenders.push_back(contender("plain fp32", models::ArDecoder::plain(ar),
                                   models::ArDecoder(ar).step_bytes(), options));
  }
  for (const std::string& name : options.weights) {
    const models::ArDecoder decoder(ar, weight_format(name));
    contenders.push_back(contender(name, decoder, decoder.step_bytes(), options));
  }
  return {.subject = "decoding of " + std::to_string(shape.num_tokens) +
                     " tokens an image, width " + std::to_string(shape.dim) + ", depth " +
                     std::to_string(shape.depth) + ", guidance " + std::to_string(options.cfg) +
                     ", top-k " + std::to_string(options.top_k) +
                     "; bytes are those of the weights",
          .items = "tokens",
          .measurements = measure(contenders, options.rounds)};
}

}  // namespace gear::cli
