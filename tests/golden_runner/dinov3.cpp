#include "gear/models/teachers/dinov3.h"

#include <torch/nn/module.h>

#include "golden_runner/full_model.h"
#include "golden_runner/manifests.h"
#include "golden_runner/teacher_support.h"

// N patches, d head width

namespace gear::golden {
namespace {

const std::string kPublished = "dinov3_vit";

/// "mlp", or "swiglu" and the multiple to which its width is rounded up ("swiglu64"; 8 alone).
void set_feed_forward(models::Dinov3Config& config, const nlohmann::json& args) {
  const std::string swiglu = "swiglu";
  const auto layer = args.value("ffn_layer", std::string("mlp"));
  config.hidden = static_cast<int64_t>(config.dim * args.value("ffn_ratio", 4.0));
  if (!layer.starts_with(swiglu)) return;
  config.feed_forward = models::FeedForwardKind::kSwiGlu;
  const std::string multiple = layer.substr(swiglu.size());
  config.hidden =
      models::dinov3_swiglu_hidden(config.hidden, multiple.empty() ? 8 : std::stoll(multiple));
}

models::Dinov3Config config_from(const nlohmann::json& args) {
  models::Dinov3Config config;
  config.dim = args.at("embed_dim");
  config.depth = args.at("depth");
  config.heads = args.at("num_heads");
  set_feed_forward(config, args);
  if (!args.value("qkv_bias", true)) {
    config.qkv_bias = models::QkvBias::kNone;
  } else if (!args.value("mask_k_bias", false)) {
    config.qkv_bias = models::QkvBias::kAll;
  }
  config.registers = args.value("n_storage_tokens", int64_t{0});
  config.patch = args.value("patch_size", int64_t{16});
  config.norm_eps = args.value("norm_layer", std::string()) == "layernormbf16" ? 1e-5 : 1e-6;
  config.rope_base = args.value("pos_embed_rope_base", 100.0);
  config.local_cls_norm = args.value("untie_global_and_local_cls_norm", false);
  return config;
}

/// cos and sin as the case stores them: [N, d], both halves alike.
void report_rotation(models::Dinov3& model, const Case& golden, Report& report) {
  const int64_t patch = model.config().patch;
  const auto image = golden.input("image");
  const auto table = model.rope_embed->forward(image.size(2) / patch, image.size(3) / patch);
  report.output("rope_cos", table.select(-1, 0).repeat({1, 2}));
  report.output("rope_sin", table.select(-1, 1).repeat({1, 2}));
}

/// "dinov3_vits16plus" is of the size "splus".
models::Dinov3Config published_config(const std::string& name) {
  std::string size = name.substr(kPublished.size());
  const size_t patch = size.rfind("16");
  if (patch != std::string::npos) size.erase(patch, 2);
  return models::dinov3_config(size);
}

}  // namespace

Outcome check_dinov3(const Case& golden, Report& report) {
  const at::NoGradGuard no_grad;
  models::Dinov3 model(config_from(golden.config().at("args")));
  load_weights(model, golden.weights());
  model.eval();
  report_rotation(model, golden, report);
  report_teacher(model, golden, report);
  report.require_all_outputs_compared();
  return {};
}

Outcome check_full_dinov3(const Case& golden, Report& report) {
  const at::NoGradGuard no_grad;
  models::Dinov3 model(published_config(golden.config().at("model")));
  fill_by_formula(model, golden);
  model.eval();
  report_teacher(model, golden, report);
  report.require_all_outputs_compared();
  return {};
}

std::shared_ptr<torch::nn::Module> build_manifest_dinov3(const std::string& model,
                                                         const nlohmann::json& /*config*/) {
  if (!model.starts_with(kPublished)) return nullptr;
  return std::make_shared<models::Dinov3>(published_config(model));
}

}  // namespace gear::golden
