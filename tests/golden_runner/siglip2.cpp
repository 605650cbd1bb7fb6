#include "gear/models/teachers/siglip2.h"

#include <torch/nn/module.h>

#include "golden_runner/teacher_support.h"

namespace gear::golden {
namespace {

models::Siglip2Config config_from(const nlohmann::json& args) {
  models::Siglip2Config config;
  config.dim = args.at("hidden_size");
  config.depth = args.at("num_hidden_layers");
  config.heads = args.at("num_attention_heads");
  config.hidden = args.at("intermediate_size");
  config.patch = args.value("patch_size", int64_t{16});
  config.grid = args.at("image_size").get<int64_t>() / config.patch;
  config.norm_eps = args.value("layer_norm_eps", 1e-6);
  return config;
}

/// Without the pooling head, which comes after the features.
Tensors tower_weights(const Case& golden) {
  Tensors weights = golden.weights();
  std::erase_if(weights,
                [](const auto& item) { return item.first.starts_with("vision_model.head."); });
  return weights;
}

}  // namespace

Outcome check_siglip2(const Case& golden, Report& report) {
  const at::NoGradGuard no_grad;
  models::Siglip2 model(config_from(golden.config().at("args")));
  load_weights(model, tower_weights(golden), "vision_model.");
  model.eval();
  report_teacher(model, golden, report);
  report.require_all_outputs_compared();
  return {};
}

}  // namespace gear::golden
