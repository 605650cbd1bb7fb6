#include "gear/models/ar/ar_block.h"

#include <ATen/ops/dropout.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "gear/nn/drop_path.h"
#include "gear/nn/linear.h"
#include "gear/nn/rotary.h"

// B batch, n positions, m positions attended to, H heads, H_kv key/value heads, d head width

namespace gear::models {

ArAttentionImpl::ArAttentionImpl(const ArConfig& config)
    : heads(config.heads),
      kv_heads(config.num_kv_heads()),
      head_dim(config.head_dim()),
      dropout(config.attention_dropout),
      wqkv(register_module("wqkv",
                           nn::linear_no_bias(config.dim, (heads + 2 * kv_heads) * head_dim))),
      wo(register_module("wo", nn::linear_no_bias(heads * head_dim, config.dim))) {}

Tensor ArAttentionImpl::forward(const Tensor& x, const Tensor& rotary, KvLayer* cache) {
  const auto qkv = wqkv(x).unflatten(-1, {-1, head_dim});  // [B, n, H+2H_kv, d]
  const auto rotated = nn::apply_rotary(qkv.narrow(2, 0, heads + kv_heads), rotary);
  const auto q = rotated.narrow(2, 0, heads).transpose(1, 2);          // [B, H, n, d]
  auto k = rotated.narrow(2, heads, kv_heads).transpose(1, 2);         // [B, H_kv, n, d]
  auto v = qkv.narrow(2, heads + kv_heads, kv_heads).transpose(1, 2);  // [B, H_kv, n, d]
  if (cache != nullptr) {
    // One position sees everything in the cache; several at once only fit an empty one.
    TORCH_CHECK(q.size(2) == 1 || cache->length() == 0, "ArAttention: ", q.size(2),
                " positions after ", cache->length(), " cached ones need a mask");
    cache->append(k, v);
    k = cache->keys();    // [B, H_kv, m, d]
    v = cache->values();  // [B, H_kv, m, d]
  }
  const auto mixed = at::scaled_dot_product_attention(
      q, k, v, /*attn_mask=*/{}, is_training() ? dropout : 0.0, /*is_causal=*/q.size(2) > 1,
      /*scale=*/std::nullopt, /*enable_gqa=*/heads != kv_heads);  // [B, H, n, d]
  return wo(mixed.transpose(1, 2).flatten(2));
}

ArBlockImpl::ArBlockImpl(const ArConfig& config, double drop_path)
    : residual_dropout(config.residual_dropout),
      ffn_dropout(config.ffn_dropout),
      drop_path(drop_path),
      attention(register_module("attention", ArAttention(config))),
      feed_forward(register_module("feed_forward", nn::SwiGlu(config.dim, config.ffn_dim()))),
      attention_norm(register_module("attention_norm", nn::RmsNorm(config.dim, config.norm_eps))),
      ffn_norm(register_module("ffn_norm", nn::RmsNorm(config.dim, config.norm_eps))) {}

Tensor ArBlockImpl::forward(const Tensor& h, const Tensor& rotary, KvLayer* cache) {
  const bool training = is_training();
  const auto attended =
      at::dropout(attention(attention_norm(h), rotary, cache), residual_dropout, training);
  const auto middle = h + nn::drop_path(attended, drop_path, training);
  const auto fed = at::dropout(feed_forward(ffn_norm(middle)), ffn_dropout, training);
  return middle + nn::drop_path(fed, drop_path, training);
}

}  // namespace gear::models
