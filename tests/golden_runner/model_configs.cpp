#include "golden_runner/model_configs.h"

#include "gear/core/error.h"
#include "gear/core/tensor.h"

namespace gear::golden {

models::ArConfig ar_config_from(const nlohmann::json& args) {
  models::ArConfig config;
  config.dim = args.at("dim");
  config.depth = args.at("n_layer");
  config.heads = args.at("n_head");
  if (args.contains("n_kv_head") && !args["n_kv_head"].is_null()) {
    config.kv_heads = args["n_kv_head"];
  }
  if (args.contains("ffn_dim_multiplier") && !args["ffn_dim_multiplier"].is_null()) {
    config.ffn_multiplier = args["ffn_dim_multiplier"];
  }
  config.ffn_multiple_of = args.value("multiple_of", int64_t{256});
  config.vocab_size = args.at("vocab_size");
  config.num_tokens = args.at("block_size");
  config.num_classes = args.at("num_classes");
  config.token_dropout = args.value("token_dropout_p", 0.1);
  config.residual_dropout = args.value("resid_dropout_p", 0.1);
  config.ffn_dropout = args.value("ffn_dropout_p", 0.1);
  config.attention_dropout = args.value("attn_dropout_p", 0.0);
  config.drop_path = args.value("drop_path_rate", 0.0);
  config.class_dropout = args.value("class_dropout_prob", 0.1);
  config.rope_base = args.value("rope_base", 10000.0);
  config.norm_eps = args.value("norm_eps", 1e-5);
  return config;
}

models::TokenizerConfig vq_config_from(const nlohmann::json& model) {
  models::TokenizerConfig config;
  config.ch = model.value("ch", int64_t{128});
  config.ch_mult = model.at("encoder_ch_mult").get<std::vector<int64_t>>();
  config.decoder_ch_mult = model.value("decoder_ch_mult", config.ch_mult);
  config.num_res_blocks = model.value("num_res_blocks", int64_t{2});
  config.z_channels = model.value("z_channels", int64_t{256});
  config.dropout = model.value("dropout_p", 0.0);
  config.quantizer.codebook_size = model.at("codebook_size");
  config.quantizer.codebook_dim = model.at("codebook_embed_dim");
  config.quantizer.l2_norm = model.value("codebook_l2_norm", true);
  config.quantizer.commit_weight = model.value("commit_loss_beta", 0.25);
  config.quantizer.entropy_ratio = model.value("entropy_loss_ratio", 0.0);
  return config;
}

void load_present_weights(torch::nn::Module& module, const Tensors& weights,
                          const std::string& prefix) {
  const at::NoGradGuard no_grad;
  auto parameters = module.named_parameters();
  auto buffers = module.named_buffers();
  for (const auto& [name, value] : weights) {
    if (!name.starts_with(prefix)) continue;
    const std::string inner = name.substr(prefix.size());
    at::Tensor* target = parameters.find(inner);
    if (target == nullptr) target = buffers.find(inner);
    if (target == nullptr) fail("weights.safetensors: ", name, " has no place in the network");
    expect_sizes(value, target->sizes(), name);
    target->copy_(value);
  }
}

}  // namespace gear::golden
