#include "gear/models/teachers/clip.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>

#include "gear/models/teachers/pixels.h"

// B batch, S image side, g grid side, N = g^2 patches, D width, H heads, d = D / H

namespace gear::models {
namespace {

constexpr double kNormEps = 1e-5;

torch::nn::Conv2d patch_convolution(const ClipConfig& config) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(3, config.dim, config.patch).stride(config.patch).bias(false));
}

}  // namespace

ClipAttentionImpl::ClipAttentionImpl(int64_t dim, int64_t heads)
    : heads(heads),
      in_proj_weight(register_parameter("in_proj_weight", at::zeros({3 * dim, dim}))),
      in_proj_bias(register_parameter("in_proj_bias", at::zeros({3 * dim}))),
      out_proj(register_module("out_proj", torch::nn::Linear(dim, dim))) {
  TORCH_CHECK(dim % heads == 0, "ClipAttention: ", heads, " heads do not divide ", dim);
}

Tensor ClipAttentionImpl::forward(const Tensor& x) {
  const auto parts = at::linear(x, in_proj_weight, in_proj_bias)
                         .unflatten(-1, {3, heads, -1})
                         .unbind(2);  // q, k, v [B, N, H, d]
  return out_proj(attend(parts[0], parts[1], parts[2]));
}

ClipMlpImpl::ClipMlpImpl(int64_t dim, int64_t hidden)
    : c_fc(register_module("c_fc", torch::nn::Linear(dim, hidden))),
      c_proj(register_module("c_proj", torch::nn::Linear(hidden, dim))) {}

Tensor ClipMlpImpl::forward(const Tensor& x) {
  const auto y = c_fc(x);
  return c_proj(y * at::sigmoid(1.702 * y));
}

ClipBlockImpl::ClipBlockImpl(const ClipConfig& config)
    : attn(register_module("attn", ClipAttention(config.dim, config.heads))),
      ln_1(register_module("ln_1", layer_norm(config.dim, kNormEps))),
      mlp(register_module("mlp", ClipMlp(config.dim, config.hidden))),
      ln_2(register_module("ln_2", layer_norm(config.dim, kNormEps))) {}

Tensor ClipBlockImpl::forward(const Tensor& x) {
  const auto mixed = x + attn(ln_1(x));
  return mixed + mlp(ln_2(mixed));
}

ClipTransformerImpl::ClipTransformerImpl(const ClipConfig& config)
    : resblocks(register_module("resblocks", torch::nn::ModuleList())) {
  for (int64_t i = 0; i < config.depth; ++i) resblocks->push_back(ClipBlock(config));
}

Clip::Clip(const ClipConfig& config)
    : VitTeacher({.dim = config.dim, .depth = config.depth, .special = 1, .layer = config.layer}),
      class_embedding(register_parameter("class_embedding", at::zeros({config.dim}))),
      positional_embedding(register_parameter(
          "positional_embedding", at::zeros({1 + config.grid * config.grid, config.dim}))),
      proj(register_parameter("proj", at::zeros({config.dim, config.output_dim}))),
      conv1(register_module("conv1", patch_convolution(config))),
      ln_pre(register_module("ln_pre", layer_norm(config.dim, kNormEps))),
      transformer(register_module("transformer", ClipTransformer(config))),
      ln_post(register_module("ln_post", layer_norm(config.dim, kNormEps))),
      config_(config) {}

Tensor Clip::preprocess(const Tensor& images_u8) const {
  const auto resized = resize_pixels(unit_pixels(images_u8), config_.grid * config_.patch);
  return normalize_pixels(resized, kClipPixels);
}

Tensor Clip::hidden(const Tensor& pixels, int64_t count) {
  expect_block(count);
  const auto patches = conv1(pixels).flatten(2).transpose(1, 2);  // [B, N, D]
  const auto class_token = class_embedding.expand({pixels.size(0), 1, -1});
  auto x = ln_pre(at::cat({class_token, patches}, 1) + positional_embedding);  // [B, 1 + N, D]
  for (int64_t i = 0; i < count; ++i) {
    x = transformer->resblocks->at<ClipBlockImpl>(static_cast<size_t>(i)).forward(x);
  }
  return x;
}

}  // namespace gear::models
