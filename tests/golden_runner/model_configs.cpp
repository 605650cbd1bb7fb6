#include "golden_runner/model_configs.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "gear/core/error.h"
#include "gear/core/tensor.h"

namespace gear::golden {
namespace {

models::QuantizerKind quantizer_kind(const std::string& family) {
  const auto& names = config::EnumNames<models::QuantizerKind>::value;
  const auto found = std::find(names.begin(), names.end(), family);
  if (found == names.end()) fail("case.json: unknown tokenizer family ", family);
  return static_cast<models::QuantizerKind>(found - names.begin());
}

/// The first of `names` that is there.
std::optional<int64_t> first_of(const nlohmann::json& args, const std::vector<const char*>& names) {
  for (const char* name : names) {
    if (args.contains(name)) return args.at(name).get<int64_t>();
  }
  return std::nullopt;
}

/// Where only the number of codes is given, they are those of so many bits.
int64_t code_dim(const nlohmann::json& args) {
  if (const auto dim = first_of(args, {"e_dim", "codebook_embed_dim", "dim"})) return *dim;
  return std::countr_zero(args.at("codebook_size").get<uint64_t>());
}

int64_t code_count(const nlohmann::json& args, int64_t dim) {
  return first_of(args, {"n_e", "codebook_size"}).value_or(int64_t{1} << dim);
}

}  // namespace

std::optional<models::TextConfig> text_config_from(const nlohmann::json& args) {
  if (!args.contains("caption_dim")) return std::nullopt;
  models::TextConfig config;
  config.dim = args.at("caption_dim");
  config.tokens = args.at("cls_token_num");
  config.double_stream_blocks = args.value("n_double_stream_layers", int64_t{-1});
  const std::string attention = args.value("text_attn", "causal");
  if (attention == "prefix") {
    config.attention = models::TextAttention::kPrefix;
  } else if (attention != "causal") {
    fail("case.json: unknown text_attn ", attention);
  }
  return config;
}

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
  config.text = text_config_from(args);
  return config;
}

bool is_tokenizer_family(const std::string& family) {
  return family == "vq" || family == "lfq" || family == "glfq" || family == "ibq";
}

models::QuantizerConfig quantizer_config_from(const std::string& family,
                                              const nlohmann::json& args) {
  models::QuantizerConfig config;
  config.kind = quantizer_kind(family);
  config.groups = args.value("num_codebooks", int64_t{1});
  config.codebook_dim = code_dim(args);
  config.codebook_size = code_count(args, config.codebook_dim);
  config.l2_norm = args.value("l2_norm", args.value("codebook_l2_norm", true));
  config.cosine = args.value("cosine_similarity", false);
  config.commit_weight = args.value("beta", args.value("commit_loss_beta", 0.25));
  config.entropy_ratio = args.value("entropy_loss_ratio", 0.0);
  return config;
}

models::TokenizerConfig tokenizer_config_from(const std::string& family,
                                              const nlohmann::json& model) {
  models::TokenizerConfig config;
  config.quantizer = quantizer_config_from(family, model);
  config.ch = model.value("ch", int64_t{128});
  const char* levels = model.contains("encoder_ch_mult") ? "encoder_ch_mult" : "ch_mult";
  config.ch_mult = model.at(levels).get<std::vector<int64_t>>();
  config.decoder_ch_mult = model.value("decoder_ch_mult", config.ch_mult);
  config.downsample = model.value("downsample", int64_t{0});
  config.num_res_blocks = model.value("num_res_blocks", family == "vq" ? int64_t{2} : int64_t{4});
  config.z_channels = model.value("z_channels", int64_t{256});
  config.dropout = model.value("dropout_p", 0.0);
  if (model.contains("attn_resolutions")) {
    config.attention_levels = attention_levels_from(
        model.value("resolution", int64_t{256}),
        model.at("attn_resolutions").get<std::vector<int64_t>>(), config.ch_mult.size());
  }
  return config;
}

std::vector<int64_t> attention_levels_from(int64_t resolution,
                                           const std::vector<int64_t>& attention_sizes,
                                           size_t num_levels) {
  std::vector<int64_t> levels;
  for (size_t level = 0; level < num_levels; ++level) {
    const int64_t size = resolution >> level;
    const auto found = std::find(attention_sizes.begin(), attention_sizes.end(), size);
    if (found != attention_sizes.end()) levels.push_back(static_cast<int64_t>(level));
  }
  return levels;
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
