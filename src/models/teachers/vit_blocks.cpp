#include "gear/models/teachers/vit_blocks.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>

#include "gear/nn/rotary.h"

// B batch, N tokens, D width, H heads, d = D / H

namespace gear::models {
namespace {

std::shared_ptr<FeedForward> make_feed_forward(const VitBlockConfig& config) {
  switch (config.feed_forward) {
    case FeedForwardKind::kGelu:
      return std::make_shared<GeluMlp>(config.dim, config.hidden);
    case FeedForwardKind::kFusedSwiGlu:
      return std::make_shared<FusedSwiGluMlp>(config.dim, config.hidden);
    case FeedForwardKind::kSwiGlu:
      return std::make_shared<SwiGluMlp>(config.dim, config.hidden);
  }
  TORCH_CHECK(false, "make_feed_forward: unhandled kind ", static_cast<int>(config.feed_forward));
}

torch::nn::LinearOptions qkv_options(int64_t dim, QkvBias bias) {
  return torch::nn::LinearOptions(dim, 3 * dim).bias(bias != QkvBias::kNone);
}

Tensor rotated(const Tensor& x, const RotaryPositions& positions) {  // [B, N, H, d]
  if (!positions.table.defined()) return x;
  if (!positions.halves) return nn::apply_rotary(x, positions.table);
  // Channels i and i + d / 2 are brought side by side. They need not go back: queries and keys are
  // permuted alike, which leaves their products as they are.
  return nn::apply_rotary(x.unflatten(-1, {2, -1}).transpose(-1, -2).flatten(-2), positions.table);
}

/// Both paths of a block end in a gain when the block has them.
Tensor scaled(LayerScale& scale, const Tensor& x) { return scale.is_empty() ? x : scale(x); }

}  // namespace

PatchEmbedImpl::PatchEmbedImpl(int64_t patch, int64_t dim)
    : proj(register_module(
          "proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, dim, patch).stride(patch)))) {}

Tensor PatchEmbedImpl::forward(const Tensor& pixels) {
  return proj(pixels).flatten(2).transpose(1, 2);  // [B, D, h, w] -> [B, N, D]
}

torch::nn::LayerNorm layer_norm(int64_t dim, double eps) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(eps));
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v) {
  const auto mixed = at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2),
                                                      v.transpose(1, 2));  // [B, H, N, d]
  return mixed.transpose(1, 2).flatten(2);
}

QkvLinearImpl::QkvLinearImpl(int64_t dim, QkvBias bias)
    : torch::nn::LinearImpl(qkv_options(dim, bias)) {
  if (bias != QkvBias::kQueryAndValue) return;
  bias_mask = register_buffer("bias_mask", at::ones({3 * dim}));
  bias_mask.slice(0, dim, 2 * dim).zero_();
}

Tensor QkvLinearImpl::forward(const Tensor& x) {
  return at::linear(x, weight, bias_mask.defined() ? bias * bias_mask : bias);
}

VitAttentionImpl::VitAttentionImpl(const VitBlockConfig& config)
    : heads(config.heads),
      qkv(register_module("qkv", QkvLinear(config.dim, config.qkv_bias))),
      proj(register_module("proj", torch::nn::Linear(config.dim, config.dim))) {
  TORCH_CHECK(config.dim % heads == 0, "VitAttention: ", heads, " heads do not divide ",
              config.dim);
}

Tensor VitAttentionImpl::forward(const Tensor& x, const RotaryPositions& positions) {
  const auto parts = qkv(x).unflatten(-1, {3, heads, -1}).unbind(2);  // q, k, v [B, N, H, d]
  return proj(attend(rotated(parts[0], positions), rotated(parts[1], positions), parts[2]));
}

LayerScaleImpl::LayerScaleImpl(int64_t dim) : gamma(register_parameter("gamma", at::ones({dim}))) {}

GeluMlp::GeluMlp(int64_t dim, int64_t hidden, Gelu gelu)
    : gelu(gelu),
      fc1(register_module("fc1", torch::nn::Linear(dim, hidden))),
      fc2(register_module("fc2", torch::nn::Linear(hidden, dim))) {}

Tensor GeluMlp::forward(const Tensor& x) {
  return fc2(at::gelu(fc1(x), gelu == Gelu::kTanh ? "tanh" : "none"));
}

FusedSwiGluMlp::FusedSwiGluMlp(int64_t dim, int64_t hidden)
    : w12(register_module("w12", torch::nn::Linear(dim, 2 * hidden))),
      w3(register_module("w3", torch::nn::Linear(hidden, dim))) {}

Tensor FusedSwiGluMlp::forward(const Tensor& x) {
  const auto halves = w12(x).chunk(2, -1);  // each [B, N, hidden]
  return w3(at::silu(halves[0]) * halves[1]);
}

SwiGluMlp::SwiGluMlp(int64_t dim, int64_t hidden)
    : w1(register_module("w1", torch::nn::Linear(dim, hidden))),
      w2(register_module("w2", torch::nn::Linear(dim, hidden))),
      w3(register_module("w3", torch::nn::Linear(hidden, dim))) {}

Tensor SwiGluMlp::forward(const Tensor& x) { return w3(at::silu(w1(x)) * w2(x)); }

VitBlockImpl::VitBlockImpl(const VitBlockConfig& config)
    : norm1(register_module("norm1", layer_norm(config.dim, config.norm_eps))),
      attn(register_module("attn", VitAttention(config))),
      ls1(nullptr),
      norm2(nullptr),
      ls2(nullptr) {
  // The order of registration is that of the published files.
  if (config.layer_scale) ls1 = register_module("ls1", LayerScale(config.dim));
  norm2 = register_module("norm2", layer_norm(config.dim, config.norm_eps));
  mlp = register_module("mlp", make_feed_forward(config));
  if (config.layer_scale) ls2 = register_module("ls2", LayerScale(config.dim));
}

Tensor VitBlockImpl::forward(const Tensor& x, const RotaryPositions& positions) {
  const auto mixed = x + scaled(ls1, attn(norm1(x), positions));
  return mixed + scaled(ls2, mlp->forward(norm2(mixed)));
}

torch::nn::ModuleList make_vit_blocks(int64_t depth, const VitBlockConfig& config) {
  torch::nn::ModuleList blocks;
  for (int64_t i = 0; i < depth; ++i) blocks->push_back(VitBlock(config));
  return blocks;
}

Tensor run_vit_blocks(torch::nn::ModuleList& blocks, int64_t count, const Tensor& x,
                      const RotaryPositions& positions) {
  auto state = x;
  for (int64_t i = 0; i < count; ++i) {
    state = blocks->at<VitBlockImpl>(static_cast<size_t>(i)).forward(state, positions);
  }
  return state;
}

}  // namespace gear::models
