// Kind ar_generate: cached greedy decoding with guidance, and the filters on given logits.

#include <ATen/ops/softmax.h>

#include "gear/models/ar/ar_model.h"
#include "gear/sample/filter.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"
#include "golden_runner/sample_run.h"

namespace gear::golden {
namespace {

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
    check_sample_run(report, run, [&](const auto& options, const auto& observer) {
      return sample::generate_tokens(ar, golden.input("cond_idx"), options, observer);
    });
  }
  for (const auto& filter : config.value("filters", nlohmann::json::array())) {
    check_filter(golden, report, filter);
  }
  report.require_all_outputs_compared();
  return {};
}

}  // namespace gear::golden
