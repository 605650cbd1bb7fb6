#include <torch/nn/module.h>

#include "gear/models/teachers/dinov2.h"
#include "golden_runner/full_model.h"
#include "golden_runner/manifests.h"
#include "golden_runner/teacher_support.h"

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

  model.set_grid(golden.input("image").size(2) / kPixelsPerToken);
  report_teacher(model, golden, report);
  report.require_all_outputs_compared();
  return {};
}

std::shared_ptr<torch::nn::Module> build_manifest_dinov2(const std::string& model,
                                                         const nlohmann::json& /*config*/) {
  if (!model.starts_with("dinov2_vit")) return nullptr;
  return std::make_shared<models::Dinov2>(published_config(model));
}

}  // namespace gear::golden
