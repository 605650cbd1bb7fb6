#include "train/reference/presets.h"

#include <array>
#include <vector>

#include "gear/core/error.h"
#include "gear/core/text.h"

namespace gear::train::reference {
namespace {

using models::QuantizerKind;

constexpr const char* kTransformer = "LlamaGen-";
constexpr std::array<const char*, 7> kTransformerSizes = {"S", "B", "L", "XL", "1B", "XXL", "XXXL"};

models::TokenizerConfig lookup_free(QuantizerKind kind, int64_t bits) {
  models::TokenizerConfig config;
  config.num_res_blocks = 4;
  config.quantizer.kind = kind;
  config.quantizer.codebook_dim = bits;
  config.quantizer.codebook_size = int64_t{1} << bits;
  return config;
}

struct Preset {
  const char* name;
  models::TokenizerConfig config;
};

std::vector<Preset> presets() {
  std::vector<Preset> all = {{"VQ-16", {}},
                             {"VQ-8", {}},
                             {"LFQ-16", lookup_free(QuantizerKind::kLfq, 14)},
                             {"LFQ-8", lookup_free(QuantizerKind::kLfq, 8)},
                             {"GLFQ-16", lookup_free(QuantizerKind::kGlfq, 32)},
                             {"IBQ-16", {}}};
  all[1].config.ch_mult = {1, 2, 2, 4};
  all[3].config.downsample = 8;
  all[4].config.quantizer.groups = 4;
  auto& ibq = all[5].config;
  ibq.num_res_blocks = 4;
  ibq.quantizer.kind = QuantizerKind::kIbq;
  ibq.quantizer.codebook_dim = 256;
  return all;
}

/// Whether names, shapes and the comparison of codes agree, whatever the size of the codebook.
bool same_architecture(const models::TokenizerConfig& a, const models::TokenizerConfig& b) {
  const auto& quantizer = a.quantizer;
  const auto& other = b.quantizer;
  const bool same_trunk =
      a.ch == b.ch && a.ch_mult == b.ch_mult && a.decoder_levels() == b.decoder_levels() &&
      a.downsampling() == b.downsampling() && a.num_res_blocks == b.num_res_blocks;
  const bool same_codes = quantizer.kind == other.kind && quantizer.l2_norm == other.l2_norm &&
                          quantizer.cosine == other.cosine;
  // Of these the networks of lfq and glfq know nothing.
  const bool lookup_free =
      quantizer.kind == QuantizerKind::kLfq || quantizer.kind == QuantizerKind::kGlfq;
  const bool same_rest =
      lookup_free || (a.z_channels == b.z_channels && a.attention_levels == b.attention_levels);
  return same_trunk && same_codes && same_rest;
}

}  // namespace

models::TokenizerConfig tokenizer_preset(const std::string& name) {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) {
    if (name == preset.name) return preset.config;
    names.emplace_back(preset.name);
  }
  fail("is ", name, ", expected one of ", join(names));
}

models::ArConfig transformer_preset(const std::string& name) {
  std::vector<std::string> names;
  for (const char* size : kTransformerSizes) {
    names.push_back(std::string(kTransformer) + size);
    if (name == names.back()) return models::ar_preset(size);
  }
  fail("is ", name, ", expected one of ", join(names));
}

std::string tokenizer_name(const models::TokenizerConfig& config) {
  for (const Preset& preset : presets()) {
    if (same_architecture(config, preset.config)) return preset.name;
  }
  return "";
}

std::string transformer_name(const models::ArConfig& config) {
  for (const char* size : kTransformerSizes) {
    const models::ArConfig preset = models::ar_preset(size);
    if (config.dim == preset.dim && config.depth == preset.depth && config.heads == preset.heads &&
        config.num_kv_heads() == preset.num_kv_heads() && config.ffn_dim() == preset.ffn_dim()) {
      return std::string(kTransformer) + size;
    }
  }
  return "";
}

}  // namespace gear::train::reference
