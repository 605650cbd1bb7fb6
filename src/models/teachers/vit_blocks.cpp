#include "gear/models/teachers/vit_blocks.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>

// B batch, N tokens, D width, H heads

namespace gear::models {
namespace {

torch::nn::LayerNorm layer_norm(const VitBlockConfig& config) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.dim}).eps(config.norm_eps));
}

std::shared_ptr<FeedForward> make_feed_forward(const VitBlockConfig& config) {
  switch (config.feed_forward) {
    case FeedForwardKind::kGelu:
      return std::make_shared<GeluMlp>(config.dim, config.hidden);
    case FeedForwardKind::kSwiGlu:
      return std::make_shared<FusedSwiGluMlp>(config.dim, config.hidden);
  }
  TORCH_CHECK(false, "make_feed_forward: unhandled kind ", static_cast<int>(config.feed_forward));
}

}  // namespace

PatchEmbedImpl::PatchEmbedImpl(int64_t patch, int64_t dim)
    : proj(register_module(
          "proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, dim, patch).stride(patch)))) {}

Tensor PatchEmbedImpl::forward(const Tensor& pixels) {
  return proj(pixels).flatten(2).transpose(1, 2);  // [B, D, h, w] -> [B, N, D]
}

VitAttentionImpl::VitAttentionImpl(int64_t dim, int64_t heads)
    : heads(heads),
      qkv(register_module("qkv", torch::nn::Linear(dim, 3 * dim))),
      proj(register_module("proj", torch::nn::Linear(dim, dim))) {
  TORCH_CHECK(dim % heads == 0, "VitAttention: ", heads, " heads do not divide ", dim);
}

Tensor VitAttentionImpl::forward(const Tensor& x) {
  const int64_t batch = x.size(0), tokens = x.size(1), dim = x.size(2);
  const auto parts = qkv(x)
                         .reshape({batch, tokens, 3, heads, dim / heads})
                         .permute({2, 0, 3, 1, 4})
                         .unbind(0);  // q, k, v, each [B, H, N, D / H]
  const auto mixed = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
  return proj(mixed.transpose(1, 2).reshape({batch, tokens, dim}));
}

LayerScaleImpl::LayerScaleImpl(int64_t dim) : gamma(register_parameter("gamma", at::ones({dim}))) {}

GeluMlp::GeluMlp(int64_t dim, int64_t hidden)
    : fc1(register_module("fc1", torch::nn::Linear(dim, hidden))),
      fc2(register_module("fc2", torch::nn::Linear(hidden, dim))) {}

Tensor GeluMlp::forward(const Tensor& x) { return fc2(at::gelu(fc1(x))); }

FusedSwiGluMlp::FusedSwiGluMlp(int64_t dim, int64_t hidden)
    : w12(register_module("w12", torch::nn::Linear(dim, 2 * hidden))),
      w3(register_module("w3", torch::nn::Linear(hidden, dim))) {}

Tensor FusedSwiGluMlp::forward(const Tensor& x) {
  const auto halves = w12(x).chunk(2, -1);  // each [B, N, hidden]
  return w3(at::silu(halves[0]) * halves[1]);
}

VitBlockImpl::VitBlockImpl(const VitBlockConfig& config)
    : norm1(register_module("norm1", layer_norm(config))),
      attn(register_module("attn", VitAttention(config.dim, config.heads))),
      ls1(register_module("ls1", LayerScale(config.dim))),
      norm2(register_module("norm2", layer_norm(config))),
      mlp(register_module("mlp", make_feed_forward(config))),
      ls2(register_module("ls2", LayerScale(config.dim))) {}

Tensor VitBlockImpl::forward(const Tensor& x) {
  const auto mixed = x + ls1(attn(norm1(x)));
  return mixed + ls2(mlp->forward(norm2(mixed)));
}

}  // namespace gear::models
