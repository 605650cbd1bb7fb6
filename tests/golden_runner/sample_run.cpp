#include "golden_runner/sample_run.h"

#include <ATen/ops/stack.h>

// B images, L tokens per image, K codes

namespace gear::golden {

void check_sample_run(Report& report, const nlohmann::json& run, const Generate& generate) {
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
      generate(options, [&](int64_t, const at::Tensor& logits) { steps.push_back(logits); });
  report.output(name + ".tokens", tokens);
  report.output(name + ".step_logits", at::stack(steps, 1));  // [B, L, K]
}

}  // namespace gear::golden
