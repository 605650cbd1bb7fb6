#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "gear/config/config.h"

namespace gear::models {

/// What the rotary table holds for the condition prefix. `zero` (cos = sin = 0) is what all
/// published weights were trained with; `identity` leaves the prefix unrotated (spec 08, quirk 1).
enum class PrefixRope { kZero, kIdentity };

/// Which text a text position sees: that before it, or all of the caption.
enum class TextAttention { kCausal, kPrefix };

/// What a text-conditional transformer has beside the class-conditional one (spec 02, section 5).
/// The default fits captions read by Qwen3-1.7B.
struct TextConfig {
  int64_t dim = 2048;                 ///< width of the text features
  int64_t tokens = 300;               ///< positions of a caption, padding included
  int64_t double_stream_blocks = -1;  ///< so many first blocks have text weights; -1: a third
  TextAttention attention = TextAttention::kCausal;
};

/// Shape of the LlamaGen transformer. The default is the class-conditional LlamaGen-B.
struct ArConfig {
  int64_t dim = 768;
  int64_t depth = 12;
  int64_t heads = 12;
  int64_t kv_heads = 0;
  double ffn_multiplier = 1.0;
  int64_t ffn_multiple_of = 256;
  double token_dropout = 0.1;
  double residual_dropout = 0.1;
  double ffn_dropout = 0.1;
  double attention_dropout = 0.0;
  double drop_path = 0.0;
  double class_dropout = 0.1;
  double rope_base = 10000.0;
  double norm_eps = 1e-5;
  double init_std = 0.02;
  PrefixRope prefix_rope = PrefixRope::kZero;
  bool activation_checkpointing = false;

  // Not keys of their own: set from the tokenizer, the image size and the data set.
  int64_t vocab_size = 16384;  // K
  int64_t num_tokens = 256;    // L, a square number
  int64_t num_classes = 1000;  // without the null class
  // Conditioned on text instead of a class. No key either: text features have no loader.
  std::optional<TextConfig> text;

  template <class Visitor>
  void fields(Visitor& v) {
    v("dim", dim, "Model width.", config::in_range(1, 65536));
    v("depth", depth, "Number of transformer blocks.", config::in_range(1, 1024));
    v("heads", heads, "Attention heads; divides dim.", config::in_range(1, 1024));
    v("kv_heads", kv_heads, "Key and value heads; 0 means as many as heads.",
      config::in_range(0, 1024));
    v("ffn_multiplier", ffn_multiplier, "Factor on the hidden width 8 * dim / 3 of the MLP.",
      config::in_range(0.01, 100));
    v("ffn_multiple_of", ffn_multiple_of, "The hidden width of the MLP is rounded up to this.",
      config::in_range(1, 65536));
    v("token_dropout", token_dropout, "Dropout on the input embeddings.", config::in_range(0, 0.9));
    v("residual_dropout", residual_dropout, "Dropout after attention.", config::in_range(0, 0.9));
    v("ffn_dropout", ffn_dropout, "Dropout after the MLP.", config::in_range(0, 0.9));
    v("attention_dropout", attention_dropout, "Dropout on attention probabilities.",
      config::in_range(0, 0.9));
    v("drop_path", drop_path, "Stochastic depth of the last block; linear from 0 at the first.",
      config::in_range(0, 0.9));
    v("class_dropout", class_dropout,
      "Share of labels replaced by the null class in training; 0 makes guidance impossible.",
      config::in_range(0, 0.9));
    v("rope_base", rope_base, "Base of the rotary frequencies.", config::greater_than(0));
    v("norm_eps", norm_eps, "Epsilon of RMSNorm.", config::greater_than(0));
    v("init_std", init_std, "Standard deviation of the initial weights.", config::greater_than(0));
    v("prefix_rope", prefix_rope,
      "Rotary rows of the condition prefix; zero fits published weights.");
    v("activation_checkpointing", activation_checkpointing,
      "Recompute each block in the backward pass: less memory, a third more time.");
  }
  void check(const config::Where& at) const {
    if (dim % heads != 0) fail(at("heads"), "must divide dim (", dim, "), got ", heads);
    if (head_dim() % 4 != 0) {
      fail(at("heads"), "dim / heads must be a multiple of 4 for the 2-D rotary embedding, got ",
           head_dim());
    }
    if (heads % num_kv_heads() != 0) {
      fail(at("kv_heads"), "must divide heads (", heads, "), got ", kv_heads);
    }
  }

  int64_t head_dim() const { return dim / heads; }
  int64_t num_kv_heads() const { return kv_heads == 0 ? heads : kv_heads; }
  /// Positions of the condition in front of the tokens, P.
  int64_t prefix() const { return text ? text->tokens : 1; }
  /// Throws Error when more than `depth` are asked for.
  int64_t double_stream_blocks() const;
  /// Smallest multiple of ffn_multiple_of that is >= floor(ffn_multiplier * floor(8 * dim / 3)).
  int64_t ffn_dim() const {
    const auto wanted = static_cast<int64_t>(ffn_multiplier * static_cast<double>(8 * dim / 3));
    return (wanted + ffn_multiple_of - 1) / ffn_multiple_of * ffn_multiple_of;
  }
};

/// Published sizes: "S", "B", "L", "XL", "1B" (published for text alone), "XXL" or "XXXL", for
/// 256-pixel images, 16,384 codes and, without `text`, the classes of ImageNet.
/// Throws Error on any other name.
ArConfig ar_preset(const std::string& size);

}  // namespace gear::models

template <>
struct gear::config::EnumNames<gear::models::PrefixRope> {
  static constexpr std::array<const char*, 2> value = {"zero", "identity"};
};
