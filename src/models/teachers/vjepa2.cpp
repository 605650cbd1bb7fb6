#include "gear/models/teachers/vjepa2.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/modules/normalization.h>

#include "gear/models/teachers/pixels.h"

// B batch, S image side, N patches, D width, d head width

namespace gear::models {
namespace {

constexpr double kNormEps = 1e-6;
constexpr double kRopeBase = 10000.0;
constexpr int64_t kPretrainingGrid = 16;
constexpr int64_t kTaps = 4;  // depths whose outputs pre-training compares, each with its norm

VitBlockConfig block_config(const Vjepa2Config& config) {
  return {.dim = config.dim,
          .heads = config.heads,
          .hidden = config.hidden,
          .layer_scale = false,
          .norm_eps = kNormEps};
}

/// Angles of `count` cells of an axis, stretched to the grid of pre-training: [count, width / 2].
Tensor axis_angles(int64_t count, int64_t width, const at::TensorOptions& options) {
  TORCH_CHECK(count >= 2, "vjepa2_rotary_table: needs at least 2 x 2 cells");
  const auto exponents = at::arange(width / 2, options) / (static_cast<double>(width) / 2.0);
  const auto frequencies = at::pow(at::Scalar(kRopeBase), exponents).reciprocal();
  const auto positions = at::arange(count, options) * (kPretrainingGrid - 1) / (count - 1);
  return positions.unsqueeze(1) * frequencies;
}

}  // namespace

Vjepa2Config vjepa2_config(char size) {
  switch (size) {
    case 'b':
      return {.dim = 768, .depth = 12, .heads = 12, .hidden = 3072};
    case 'l':
      return {.dim = 1024, .depth = 24, .heads = 16, .hidden = 4096};
    case 'g':
      return {.dim = 1408, .depth = 40, .heads = 22, .hidden = 6144};
    case 'G':
      return {.dim = 1664, .depth = 48, .heads = 26, .hidden = 8192};
    default:
      fail("V-JEPA 2.1 has the sizes b, l, g and G, got ", size);
  }
}

ImagePatchEmbedImpl::ImagePatchEmbedImpl(int64_t patch, int64_t dim)
    : proj(register_module(
          "proj",
          torch::nn::Conv3d(
              torch::nn::Conv3dOptions(3, dim, {1, patch, patch}).stride({1, patch, patch})))) {}

Tensor ImagePatchEmbedImpl::forward(const Tensor& pixels) {
  const auto kernel = proj->weight.squeeze(2);  // [D, 3, patch, patch]
  const auto maps = at::conv2d(pixels, kernel, proj->bias, /*stride=*/kernel.size(2));
  return maps.flatten(2).transpose(1, 2);  // [B, D, h, w] -> [B, N, D]
}

Tensor vjepa2_rotary_table(int64_t rows, int64_t columns, int64_t head_dim,
                           const at::TensorOptions& options) {
  TORCH_CHECK(head_dim % 2 == 0, "vjepa2_rotary_table: head_dim must be even, got ", head_dim);
  const int64_t width = 2 * (head_dim / 3 / 2);  // channels of one section
  const auto grid = [&](const Tensor& angles) { return angles.expand({rows, columns, -1}); };
  const auto still = [&](int64_t channels) {
    return at::zeros({rows, columns, channels / 2}, options);
  };
  const auto angles = at::cat({still(width),  // time
                               grid(axis_angles(rows, width, options).unsqueeze(1)),
                               grid(axis_angles(columns, width, options).unsqueeze(0)),
                               still(head_dim - 3 * width)},
                              -1)
                          .flatten(0, 1);  // [N, d / 2]
  return at::stack({angles.cos(), angles.sin()}, -1);
}

Vjepa2::Vjepa2(const Vjepa2Config& config)
    : VitTeacher({.dim = config.dim, .depth = config.depth, .special = 0, .layer = config.layer}),
      patch_embed_img(nullptr),
      blocks(nullptr),
      config_(config) {
  img_mod_embed = register_parameter("img_mod_embed", at::zeros({1, 1, config.dim}));
  patch_embed_img = register_module("patch_embed_img", ImagePatchEmbed(config.patch, config.dim));
  blocks = register_module("blocks", make_vit_blocks(config.depth, block_config(config)));
  norms_block = register_module("norms_block", torch::nn::ModuleList());
  for (int64_t i = 0; i < kTaps; ++i) norms_block->push_back(layer_norm(config.dim, kNormEps));
}

Tensor Vjepa2::preprocess(const Tensor& images_u8) const {
  return normalize_pixels(unit_pixels(images_u8), kImageNetPixels);
}

Tensor Vjepa2::hidden(const Tensor& pixels, int64_t count) {
  expect_block(count);
  const auto tokens = patch_embed_img(pixels) + img_mod_embed;  // [B, N, D]
  const auto table = vjepa2_rotary_table(
      pixels.size(2) / config_.patch, pixels.size(3) / config_.patch, config_.dim / config_.heads,
      at::TensorOptions().dtype(at::kFloat).device(pixels.device()));
  return run_vit_blocks(blocks, count, tokens, {.table = table, .halves = false});
}

Tensor Vjepa2::final_tokens(const Tensor& tokens) {
  return norms_block->at<torch::nn::LayerNormImpl>(kTaps - 1).forward(tokens);
}

}  // namespace gear::models
