#include <torch/nn/module.h>

#include "gear/models/teachers/dinov2.h"
#include "golden_runner/full_model.h"
#include "golden_runner/manifests.h"

namespace gear::golden {
namespace {

/// "dinov2_vits14", "dinov2_vitb14_reg" and so on; the size letter stands after "vit".
models::Dinov2Config published_config(const std::string& name) {
  return models::dinov2_config(name.at(std::string("dinov2_vit").size()), name.ends_with("_reg"));
}

}  // namespace

Outcome check_full_dinov2(const Case& golden, Report& report) {
  constexpr int64_t kPixelsPerToken = 16;
  const at::NoGradGuard no_grad;
  models::Dinov2 model(published_config(golden.config().at("model")));
  fill_by_formula(model, golden);
  model.eval();

  const auto image = golden.input("image");
  model.set_grid(image.size(2) / kPixelsPerToken);
  report.output("tokens_final", model.encode(image));
  const auto pixels = model.preprocess(image);
  for (const auto& [name, expected] : golden.outputs()) {
    const std::string prefix = "tokens_block";
    if (!name.starts_with(prefix)) continue;
    const int64_t block = std::stoll(name.substr(prefix.size()));
    report.output(name, model.patch_tokens(model.hidden(pixels, block)));
  }
  report.require_all_outputs_compared();
  return {};
}

std::shared_ptr<torch::nn::Module> build_manifest_dinov2(const std::string& model,
                                                         const nlohmann::json& /*config*/) {
  if (!model.starts_with("dinov2_vit")) return nullptr;
  return std::make_shared<models::Dinov2>(published_config(model));
}

}  // namespace gear::golden
