#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <optional>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_config.h"
#include "gear/models/ar/kv_cache.h"
#include "gear/nn/gate.h"
#include "gear/nn/rms_norm.h"
#include "gear/nn/swiglu.h"

// B batch, n positions, m positions attended to, D model width, H heads, H_kv key/value heads,
// d head width

namespace gear::models {

/// What blocks have to know about the positions they are given.
struct ArPositions {
  Tensor rotary;               // [n, d / 2, 2]
  std::optional<Tensor> mask;  // bool [B, 1, n, m], true: attend; none: causal
  int64_t text = 0;            ///< so many of them, the first ones, are text
};

/// Weights of a block: one set for every position, or another for text in front of attention.
enum class Streams { kSingle, kDouble };

/// Self-attention with rotary positions. The rows of wqkv are q, k, v, heads contiguous in each.
/// With double streams text has projections of its own, and attention is over both together.
struct ArAttentionImpl : torch::nn::Module {
  ArAttentionImpl(const ArConfig& config, Streams streams);

  /// x [B, n, D], same out. With a cache its positions come first, then x; x is appended to it.
  Tensor forward(const Tensor& x, const ArPositions& positions, KvLayer* cache = nullptr);

  int64_t heads, kv_heads, head_dim;
  double dropout;
  torch::nn::Linear wqkv, wo;
  torch::nn::Linear wqkv_text, wo_text;  // null with a single stream
};
TORCH_MODULE(ArAttention);

/// Pre-norm transformer block on a float32 residual stream. Both streams share the MLP.
struct ArBlockImpl : nn::GatedModule {
  ArBlockImpl(const ArConfig& config, double drop_path, Streams streams);

  /// h [B, n, D], same out.
  Tensor forward(const Tensor& h, const ArPositions& positions, KvLayer* cache = nullptr);

  double residual_dropout, ffn_dropout, drop_path;
  ArAttention attention;
  nn::SwiGlu feed_forward;
  nn::RmsNorm attention_norm;
  nn::RmsNorm attention_norm_text;  // null with a single stream
  nn::RmsNorm ffn_norm;
};
TORCH_MODULE(ArBlock);

}  // namespace gear::models
