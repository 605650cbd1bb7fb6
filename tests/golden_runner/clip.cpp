#include "gear/models/teachers/clip.h"

#include <torch/nn/module.h>

#include "golden_runner/manifests.h"
#include "golden_runner/teacher_support.h"

namespace gear::golden {
namespace {

models::ClipConfig config_from(const nlohmann::json& args) {
  models::ClipConfig config;
  config.dim = args.at("width");
  config.depth = args.at("layers");
  config.heads = args.at("heads");
  config.hidden = 4 * config.dim;
  config.patch = args.at("patch_size");
  config.grid = args.at("input_resolution").get<int64_t>() / config.patch;
  config.output_dim = args.at("output_dim");
  return config;
}

/// The tower where the official file has it.
struct VisualTower : torch::nn::Module {
  explicit VisualTower(const models::ClipConfig& config) {
    register_module("visual", std::make_shared<models::Clip>(config));
  }
};

}  // namespace

Outcome check_clip(const Case& golden, Report& report) {
  const at::NoGradGuard no_grad;
  models::Clip model(config_from(golden.config().at("args")));
  load_weights(model, golden.weights(), "visual.");
  model.eval();
  report_teacher(model, golden, report);
  report.require_all_outputs_compared();
  return {};
}

std::shared_ptr<torch::nn::Module> build_manifest_clip(const std::string& model,
                                                       const nlohmann::json& /*config*/) {
  if (!model.starts_with("clip") && !model.starts_with("ViT-L")) return nullptr;
  return std::make_shared<VisualTower>(models::ClipConfig());
}

}  // namespace gear::golden
