#include <algorithm>
#include <array>

#include "cli/guess_network.h"
#include "cli/network_names.h"
#include "gear/core/text.h"
#include "gear/models/tokenizers/vq_tokenizer.h"

namespace gear::cli {
namespace {

using models::QuantizerKind;
using models::TokenizerConfig;

/// More bits than a single table of codes is trained with: then they come in groups.
constexpr int64_t kMostUngroupedBits = 18;

constexpr std::array<const char*, 6> kTitles = {"VQ", "LFQ", "GLFQ", "IBQ", "FSQ", "SimVQ"};

/// "[1, 1, 2]". In config's own function for it, inlined here, GCC 12 sees a write past the end
/// (its bug 105651).
std::string list_text(const std::vector<int64_t>& values) {
  std::string text = "[";
  for (const int64_t value : values) {
    if (text.size() > 1) text.append(", ");
    text.append(std::to_string(value));
  }
  return text.append("]");
}

std::string level(const std::string& stem, int64_t index) { return stem + std::to_string(index); }

/// Width of each level, in units of ch; empty when they are no multiples of it.
std::vector<int64_t> multipliers(const NetworkNames& names, const std::string& levels,
                                 const std::string& block, int64_t ch) {
  std::vector<int64_t> found;
  for (int64_t i = 0; i < names.count(levels); ++i) {
    const int64_t width = names.size(level(levels, i) + "." + block + ".0.conv1.weight", 0);
    if (ch == 0 || width == 0 || width % ch != 0) return {};
    found.push_back(width / ch);
  }
  return found;
}

/// Published tokenizers, of base width 128, are called by their downsampling: "VQ-16 tokenizer: ".
std::string title(const TokenizerConfig& shape) {
  const std::vector<int64_t> sixteen = {1, 1, 2, 2, 4}, eight = {1, 2, 2, 4};
  std::string text = kTitles[static_cast<size_t>(shape.quantizer.kind)];
  if (shape.ch == 128 && (shape.ch_mult == sixteen || shape.ch_mult == eight)) {
    text.append("-").append(std::to_string(shape.downsampling()));
  }
  return text.append(" tokenizer: ");
}

std::string shape_text(const TokenizerConfig& shape) {
  const std::string width = ", base width " + size_or_unknown(shape.ch);
  if (shape.ch_mult.empty() && shape.downsample == 0) return width;
  return width + ", downsampling " + std::to_string(shape.downsampling());
}

/// The keys of every family; those of the quantizer follow.
NetworkGuess with_keys(const TokenizerConfig& shape, NetworkGuess guess) {
  const auto add = [&](const std::string& key, const std::string& value) {
    guess.keys.emplace_back("tokenizer." + key, value);
  };
  add("quantizer.kind", config::detail::format(shape.quantizer.kind));
  add("quantizer.codebook_dim", std::to_string(shape.quantizer.codebook_dim));
  if (shape.quantizer.codebook_size > 0) {
    add("quantizer.codebook_size", std::to_string(shape.quantizer.codebook_size));
  }
  add("ch", std::to_string(shape.ch));
  add("ch_mult", list_text(shape.ch_mult));
  if (!shape.decoder_ch_mult.empty()) add("decoder_ch_mult", list_text(shape.decoder_ch_mult));
  if (shape.downsample > 0) add("downsample", std::to_string(shape.downsample));
  add("num_res_blocks", std::to_string(shape.num_res_blocks));
  guess.path_key = "init.tokenizer";
  return guess;
}

QuantizerKind convolutional_kind(const NetworkNames& names) {
  if (names.count("encoder.down.") > 0) return QuantizerKind::kIbq;
  if (names.has("quantize.embedding_proj.weight")) return QuantizerKind::kSimVq;
  return names.has("quantize.embedding.weight") ? QuantizerKind::kVq : QuantizerKind::kFsq;
}

/// Shape of the network with attention, which has a 1 x 1 convolution on both sides of the codes.
TokenizerConfig convolutional_shape(const NetworkNames& names) {
  TokenizerConfig shape;
  shape.quantizer.kind = convolutional_kind(names);
  const models::VqNames& spelt = models::vq_names(shape.quantizer.kind);
  const std::string encoder = std::string("encoder.") + spelt.encoder_levels + ".";
  const std::string decoder = std::string("decoder.") + spelt.decoder_levels + ".";
  const std::string block = spelt.residual_blocks;
  shape.ch = names.size("encoder.conv_in.weight", 0);
  shape.ch_mult = multipliers(names, encoder, block, shape.ch);
  shape.decoder_ch_mult = multipliers(names, decoder, block, shape.ch);
  if (!spelt.decoder_from_full_size) {
    std::reverse(shape.decoder_ch_mult.begin(), shape.decoder_ch_mult.end());
  }
  if (shape.decoder_ch_mult == shape.ch_mult) shape.decoder_ch_mult.clear();
  shape.num_res_blocks = names.count(encoder + "0." + block + ".");
  shape.z_channels = names.size("encoder.conv_out.weight", 0);
  shape.attention_levels.clear();
  for (int64_t i = 0; i < names.count(encoder); ++i) {
    if (names.has(level(encoder, i) + ".attn.0.q.weight")) shape.attention_levels.push_back(i);
  }
  shape.quantizer.codebook_size = names.size("quantize.embedding.weight", 0);
  shape.quantizer.codebook_dim = names.has("quantize.embedding.weight")
                                     ? names.size("quantize.embedding.weight", 1)
                                     : names.size("quant_conv.weight", 0);
  return shape;
}

std::string codes_text(const TokenizerConfig& shape) {
  const std::string width = size_or_unknown(shape.quantizer.codebook_dim);
  if (shape.quantizer.kind == QuantizerKind::kFsq) return "codes of width " + width;
  return size_or_unknown(shape.quantizer.codebook_size) + " codes of width " + width;
}

OptionalGuess guess_convolutional(const io::WeightPart& part) {
  NetworkNames names(part);
  const bool found = names.choose("quantize.embedding.weight") || names.choose("quant_conv.weight");
  const bool encoder = names.has("encoder.conv_in.weight") || names.has("encoder.norm_out.weight");
  if (!found || !encoder) return std::nullopt;
  const TokenizerConfig shape = convolutional_shape(names);
  NetworkGuess guess{.text = title(shape) + codes_text(shape) + shape_text(shape)};
  if (shape.ch_mult.empty()) return guess;
  guess = with_keys(shape, std::move(guess));
  guess.keys.emplace_back("tokenizer.z_channels", std::to_string(shape.z_channels));
  guess.keys.emplace_back("tokenizer.attention_levels", list_text(shape.attention_levels));
  if (shape.quantizer.kind == QuantizerKind::kFsq) {
    guess.untold = "tokenizer.quantizer.levels and the codebook_size that follows from them";
  }
  return guess;
}

OptionalGuess guess_lookup_free(const io::WeightPart& part) {
  NetworkNames names(part);
  if (!names.choose("decoder.adaptive.0.gamma.weight")) return std::nullopt;
  const int64_t bits = names.size("encoder.conv_out.weight", 0);
  int64_t halvings = 0;
  while (names.has(level("encoder.down.", halvings) + ".downsample.weight")) ++halvings;
  TokenizerConfig shape;
  const bool grouped = bits > kMostUngroupedBits;
  shape.quantizer.kind = grouped ? QuantizerKind::kGlfq : QuantizerKind::kLfq;
  shape.quantizer.codebook_dim = bits;
  shape.quantizer.codebook_size = int64_t{1} << std::clamp<int64_t>(bits, 0, 62);
  shape.ch = names.size("encoder.conv_in.weight", 0);
  shape.ch_mult = multipliers(names, "encoder.down.", "block", shape.ch);
  shape.num_res_blocks = names.count("encoder.down.0.block.");
  shape.downsample = int64_t{1} << std::clamp<int64_t>(halvings, 0, 62);
  NetworkGuess guess{.text = title(shape) + size_or_unknown(bits) + " bits a token" +
                             shape_text(shape)};
  if (shape.ch_mult.empty()) return guess;
  guess = with_keys(shape, std::move(guess));
  if (grouped) guess.untold = "tokenizer.quantizer.groups";
  return guess;
}

}  // namespace

OptionalGuess guess_tokenizer(const io::WeightPart& part) {
  const OptionalGuess guess = guess_convolutional(part);
  return guess ? guess : guess_lookup_free(part);
}

}  // namespace gear::cli
