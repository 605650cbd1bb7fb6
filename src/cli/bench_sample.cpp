#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <memory>

#include "cli/bench.h"
#include "cli/run_setup.h"
#include "gear/sample/generate.h"
#include "gear/train/run_config.h"

// B batch, L tokens per image

namespace gear::cli {
namespace {

/// Bytes of weights that every decoding step reads; the token table only by rows.
double weight_bytes(models::ArModel& ar, bool bfloat16) {
  double values = 0.0;
  for (const auto& item : ar->named_parameters()) {
    const bool by_rows =
        item.key().starts_with("tok_embeddings") || item.key().starts_with("cls_embedding");
    if (!by_rows) values += static_cast<double>(item.value().numel());
  }
  return values * (bfloat16 ? 2.0 : 4.0);
}

}  // namespace

BenchReport bench_sample(const SampleBench& options) {
  const auto config = config::load<train::RunConfig>(options.config, options.overrides);
  auto shape = config.resolved_ar();
  if (shape.num_classes == 0) shape.num_classes = 1000;
  models::ArModel ar(shape);
  ar->eval();
  const auto labels = at::zeros({options.batch}, at::kLong);
  const double tokens = static_cast<double>(shape.num_tokens);
  std::vector<Contender> contenders;
  for (const bool bfloat16 : {false, true}) {
    if (bfloat16 && !options.bfloat16) continue;
    contenders.push_back({.name = std::string(bfloat16 ? "bf16" : "fp32") + ", batch " +
                                  std::to_string(options.batch),
                          .work =
                              [=, cfg = options.cfg] {
                                sample::generate_tokens(ar, labels, {.cfg = cfg, .bf16 = bfloat16});
                              },
                          .volume = {.bytes = tokens * weight_bytes(ar, bfloat16),
                                     .items = tokens * static_cast<double>(options.batch)}});
  }
  return {.subject = "decoding of " + std::to_string(shape.num_tokens) +
                     " tokens an image, width " + std::to_string(shape.dim) + ", depth " +
                     std::to_string(shape.depth) + ", guidance " + std::to_string(options.cfg) +
                     "; bytes are those of the weights",
          .items = "tokens",
          .measurements = measure(contenders, options.rounds)};
}

}  // namespace gear::cli
