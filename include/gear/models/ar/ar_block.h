#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_config.h"
#include "gear/models/ar/kv_cache.h"
#include "gear/nn/rms_norm.h"
#include "gear/nn/swiglu.h"

// B batch, n positions, D model width, H heads, H_kv key/value heads, d head width

namespace gear::models {

/// Causal self-attention with rotary positions. The rows of wqkv are q, k, v, heads contiguous in
/// each.
struct ArAttentionImpl : torch::nn::Module {
  explicit ArAttentionImpl(const ArConfig& config);

  /// x [B, n, D], same out. With a cache its positions come first, then x; x is appended to it.
  Tensor forward(const Tensor& x, const Tensor& rotary, KvLayer* cache = nullptr);

  int64_t heads, kv_heads, head_dim;
  double dropout;
  torch::nn::Linear wqkv, wo;
};
TORCH_MODULE(ArAttention);

/// Pre-norm transformer block on a float32 residual stream.
struct ArBlockImpl : torch::nn::Module {
  ArBlockImpl(const ArConfig& config, double drop_path);

  /// h [B, n, D], same out; rotary [n, d / 2, 2], the rows of these positions.
  Tensor forward(const Tensor& h, const Tensor& rotary, KvLayer* cache = nullptr);

  double residual_dropout, ffn_dropout, drop_path;
  ArAttention attention;
  nn::SwiGlu feed_forward;
  nn::RmsNorm attention_norm, ffn_norm;
};
TORCH_MODULE(ArBlock);

}  // namespace gear::models
