// Kind ar_generate: cached greedy decoding with guidance, and the filters on given logits.

#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>

#include "gear/models/ar/ar_model.h"
#include "gear/sample/filter.h"
#include "gear/sample/generate.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"

// B images, L tokens per image, K codes

namespace gear::golden {
namespace {

void check_run(const Case& golden, Report& report, models::ArModel& ar, const nlohmann::json& run) {
  const std::string name = run.at("name");
  sample::SampleOptions options;
  options.cfg = run.at("cfg_scale");
  options.cfg_interval = run.value("cfg_interval", int64_t{-1});
  options.temperature = run.value("temperature", 1.0);
  options.top_k = run.value("top_k", int64_t{0});
  options.top_p = run.value("top_p", 1.0);
  options.greedy = true;
  std::vector<at::Tensor> steps;
  const auto tokens =
      sample::generate_tokens(ar, golden.input("cond_idx"), options,
                              [&](int64_t, const at::Tensor& logits) { steps.push_back(logits); });
  report.output(name + ".tokens", tokens);
  report.output(name + ".step_logits", at::stack(steps, 1));  // [B, L, K]
}

void check_filter(const Case& golden, Report& report, const nlohmann::json& filter) {
  const std::string name = filter.at("name");
  const auto filtered = sample::filter_logits(golden.input("filter_logits"),
                                              {.temperature = filter.value("temperature", 1.0),
                                               .top_k = filter.value("top_k", int64_t{0}),
                                               .top_p = filter.value("top_p", 1.0)});
  report.output(name + ".filtered", filtered);
  report.output(name + ".probs", at::softmax(filtered, -1));
}

}  // namespace

Outcome check_ar_generate(const Case& golden, Report& report) {
  const auto& config = golden.config();
  models::ArModel ar(ar_config_from(config.at("ModelArgs")));
  load_weights(*ar, golden.weights());
  for (const auto& run : config.value("runs", nlohmann::json::array())) {
    check_run(golden, report, ar, run);
  }
  for (const auto& filter : config.value("filters", nlohmann::json::array())) {
    check_filter(golden, report, filter);
  }
  report.require_all_outputs_compared();
  return {};
}

}  // namespace gear::golden
