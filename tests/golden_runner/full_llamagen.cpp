#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/logsumexp.h>

#include <charconv>

#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "golden_runner/full_model.h"
#include "golden_runner/manifests.h"
#include "golden_runner/model_configs.h"

// B batch, L tokens per image, K codes, D model width

namespace gear::golden {
namespace {

const std::string kFamily = "LlamaGen-";

models::ArConfig official_config(const nlohmann::json& config) {
  auto ar = models::ar_preset(config.at("model").get<std::string>().substr(kFamily.size()));
  ar.num_tokens = config.value("block_size", ar.num_tokens);
  ar.vocab_size = config.value("vocab_size", ar.vocab_size);
  ar.num_classes = config.value("num_classes", ar.num_classes);
  ar.text = text_config_from(config);
  return ar;
}

/// The numbers in a name: "logits_positions_0_1_first64" -> {0, 1, 64}.
std::vector<int64_t> numbers_in(const std::string& name) {
  std::vector<int64_t> numbers;
  for (const char* at = name.data(); at != name.data() + name.size();) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(at, name.data() + name.size(), value);
    if (error == std::errc()) numbers.push_back(value);
    at = error == std::errc() ? end : at + 1;
  }
  return numbers;
}

/// Samples of large outputs, whose names say what they hold.
void report_samples(const Case& golden, Report& report, const models::ArOutput& found) {
  for (const auto& [name, expected] : golden.outputs()) {
    auto numbers = numbers_in(name);
    if (name.starts_with("hidden_at_tap_every")) {
      report.output(name, found.tap_hidden.slice(1, 0, std::nullopt, numbers.back()));
    } else if (name.starts_with("logits_positions_")) {
      const int64_t first = numbers.back();
      numbers.pop_back();
      const auto rows = found.logits.index_select(1, at::tensor(numbers));
      report.output(name, rows.narrow(2, 0, first));
    }
  }
}

}  // namespace

Outcome check_full_llamagen(const Case& golden, Report& report) {
  const auto targets = golden.input("targets");  // [B, L]
  auto config = official_config(golden.config());
  config.num_tokens = targets.size(1);
  models::ArModel ar(config);
  fill_by_formula(*ar, golden);
  ar->eval();  // the case was made without dropout

  const auto inputs = targets.narrow(1, 0, targets.size(1) - 1);
  const auto found = ar->forward(golden.input("cond_idx"), ar->embed_ids(inputs),
                                 {.tap = golden.config().at("encoder_depth").get<int64_t>()});
  const auto loss = at::cross_entropy_loss(found.logits.flatten(0, 1), targets.flatten());
  loss.backward();
  report.output("ce_loss", loss);
  report.output("logits_logsumexp", at::logsumexp(found.logits, -1));
  report_samples(golden, report, found);
  report_gradient_norms(*ar, report);
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

std::shared_ptr<torch::nn::Module> build_manifest_llamagen(const std::string& model,
                                                           const nlohmann::json& config) {
  if (!model.starts_with(kFamily)) return nullptr;
  return std::make_shared<models::ArModelImpl>(official_config(config));
}

std::shared_ptr<torch::nn::Module> build_manifest_projector(const std::string& /*model*/,
                                                            const nlohmann::json& config) {
  if (!config.contains("in_dim") || !config.contains("out_dims")) return nullptr;
  return std::make_shared<models::ProjectorImpl>(config.at("in_dim").get<int64_t>(),
                                                 config.at("hidden").get<int64_t>(),
                                                 config.at("out_dims").get<std::vector<int64_t>>());
}

}  // namespace gear::golden
