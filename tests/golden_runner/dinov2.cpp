#include "gear/models/teachers/dinov2.h"

#include <torch/nn/module.h>

#include "golden_runner/teacher_support.h"

// B batch, S image side, N patches, R registers, D width

namespace gear::golden {
namespace {

constexpr int64_t kPixelsPerToken = 16;  // the cases are of a tokenizer that divides by 16

models::Dinov2Config dinov2_config_from(const nlohmann::json& args) {
  models::Dinov2Config config;
  config.dim = args.at("embed_dim");
  config.depth = args.at("depth");
  config.heads = args.at("num_heads");
  config.hidden = static_cast<int64_t>(config.dim * args.value("mlp_ratio", 4.0));
  config.registers = args.value("num_register_tokens", int64_t{0});
  config.patch = args.value("patch_size", int64_t{14});
  config.grid = args.at("img_size").get<int64_t>() / config.patch;
  if (args.value("ffn_layer", std::string("mlp")).starts_with("swiglu")) {
    config.feed_forward = models::FeedForwardKind::kFusedSwiGlu;
    config.hidden = models::dinov2_swiglu_hidden(config.hidden);
  }
  return config;
}

}  // namespace

Outcome check_dinov2(const Case& golden, Report& report) {
  const at::NoGradGuard no_grad;
  models::Dinov2 model(dinov2_config_from(golden.config().at("args")));
  load_weights(model, golden.weights());
  model.eval();

  const auto image = golden.input("image");  // [B, 3, S, S] uint8
  model.set_grid(image.size(2) / kPixelsPerToken);
  report.output("pos_embed_resampled", model.pos_embed);

  report_teacher(model, golden, report);
  const auto hidden = model.hidden(model.preprocess(image), model.depth());  // [B, 1 + R + N, D]
  const auto normed = model.norm(hidden);
  report.output("x_prenorm", hidden);
  report.output("x_norm_clstoken", normed.select(1, 0));
  report.output("x_norm_regtokens", normed.slice(1, 1, 1 + model.config().registers));
  report.require_all_outputs_compared();
  return {};
}

}  // namespace gear::golden
