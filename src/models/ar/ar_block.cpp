#include "gear/models/ar/ar_block.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "gear/nn/dropout.h"
#include "gear/nn/dropout_attention.h"
#include "gear/nn/linear.h"
#include "gear/nn/rotary.h"
#include "models/ar/draw_matrices.h"

// B batch, n positions, m positions attended to, H heads, H_kv key/value heads, d head width

namespace gear::models {
namespace {

/// Each stream through its own layer; without a text layer there is one stream. x [B, n, ...], the
/// first `text_positions` of them text.
template <class Layer>
Tensor by_stream(Layer& layer, Layer& text_layer, const Tensor& x, int64_t text_positions) {
  if (text_layer.is_empty() || text_positions == 0) return layer(x);
  if (text_positions == x.size(1)) return text_layer(x);
  const auto text = x.narrow(1, 0, text_positions);
  const auto image = x.narrow(1, text_positions, x.size(1) - text_positions);
  return at::cat({text_layer(text), layer(image)}, 1);
}

/// Without a mask each position sees those before it, and one alone everything.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v,
              const std::optional<Tensor>& mask) {
  const bool causal = !mask && q.size(2) > 1;
  return at::scaled_dot_product_attention(q, k, v, mask, /*dropout_p=*/0.0, causal,
                                          /*scale=*/std::nullopt,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

torch::nn::Linear qkv_projection(const ArConfig& config) {
  return nn::linear_no_bias(config.dim,
                            (config.heads + 2 * config.num_kv_heads()) * config.head_dim());
}

torch::nn::Linear out_projection(const ArConfig& config) {
  return nn::linear_no_bias(config.heads * config.head_dim(), config.dim);
}

}  // namespace

ArAttentionImpl::ArAttentionImpl(const ArConfig& config, Streams streams)
    : heads(config.heads),
      kv_heads(config.num_kv_heads()),
      head_dim(config.head_dim()),
      dropout(config.attention_dropout),
      wqkv(register_module("wqkv", qkv_projection(config))),
      wo(register_module("wo", out_projection(config))),
      wqkv_text(streams == Streams::kDouble ? register_module("wqkv_text", qkv_projection(config))
                                            : nullptr),
      wo_text(streams == Streams::kDouble ? register_module("wo_text", out_projection(config))
                                          : nullptr) {}

Tensor ArAttentionImpl::forward(const Tensor& x, const ArPositions& positions, KvLayer* cache) {
  const auto qkv = by_stream(wqkv, wqkv_text, x, positions.text)
                       .unflatten(-1, {-1, head_dim});  // [B, n, H+2H_kv, d]
  const auto rotated = nn::apply_rotary(qkv.narrow(2, 0, heads + kv_heads), positions.rotary);
  const auto q = rotated.narrow(2, 0, heads).transpose(1, 2);          // [B, H, n, d]
  auto k = rotated.narrow(2, heads, kv_heads).transpose(1, 2);         // [B, H_kv, n, d]
  auto v = qkv.narrow(2, heads + kv_heads, kv_heads).transpose(1, 2);  // [B, H_kv, n, d]
  if (cache != nullptr) {
    // Without a mask one position sees everything in the cache, and several only fit an empty one.
    TORCH_CHECK(q.size(2) == 1 || cache->length() == 0, "ArAttention: ", q.size(2),
                " positions after ", cache->length(), " cached ones need a mask");
    cache->append(k, v);
    // The first positions are all there is, and exact where the cache keeps bfloat16.
    if (cache->length() > q.size(2)) {
      k = cache->keys();    // [B, H_kv, m, d]
      v = cache->values();  // [B, H_kv, m, d]
    }
  }
  const auto mixed = is_training() && dropout > 0.0
                         ? nn::dropout_attention(q, k, v, positions.mask, dropout)
                         : attend(q, k, v, positions.mask);  // [B, H, n, d]
  return by_stream(wo, wo_text, mixed.transpose(1, 2).flatten(2), positions.text);
}

ArBlockImpl::ArBlockImpl(const ArConfig& config, double drop_path, Streams streams)
    : residual_dropout(config.residual_dropout),
      ffn_dropout(config.ffn_dropout),
      drop_path(drop_path),
      attention(register_module("attention", ArAttention(config, streams))),
      feed_forward(register_module("feed_forward", nn::SwiGlu(config.dim, config.ffn_dim()))),
      attention_norm(register_module("attention_norm", nn::RmsNorm(config.dim, config.norm_eps))),
      attention_norm_text(
          streams == Streams::kDouble
              ? register_module("attention_norm_text", nn::RmsNorm(config.dim, config.norm_eps))
              : nullptr),
      ffn_norm(register_module("ffn_norm", nn::RmsNorm(config.dim, config.norm_eps))) {
  draw_matrices(*this, config.init_std);
  tell_built();
}

Tensor ArBlockImpl::forward(const Tensor& input, const ArPositions& positions, KvLayer* cache) {
  const auto h = enter(input);
  const bool training = is_training();
  const auto normed = by_stream(attention_norm, attention_norm_text, h, positions.text);
  const auto attended =
      nn::dropout(attention(normed, positions, cache), residual_dropout, training);
  const auto middle = h + nn::drop_path(attended, drop_path, training);
  const auto fed = nn::dropout(feed_forward(ffn_norm(middle)), ffn_dropout, training);
  return leave(middle + nn::drop_path(fed, drop_path, training));
}

}  // namespace gear::models
