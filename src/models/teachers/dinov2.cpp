#include "gear/models/teachers/dinov2.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include "gear/models/teachers/pixels.h"

// B batch, S image side, g grid side, N = g^2 patches, R registers, D width

namespace gear::models {
namespace {

constexpr double kNormEps = 1e-6;

VitBlockConfig block_config(const Dinov2Config& config) {
  return {.dim = config.dim,
          .heads = config.heads,
          .hidden = config.hidden,
          .feed_forward = config.feed_forward,
          .norm_eps = kNormEps};
}

}  // namespace

Dinov2Config dinov2_config(char size, bool registers) {
  Dinov2Config config;
  config.registers = registers ? 4 : 0;
  switch (size) {
    case 's':
      config.dim = 384, config.depth = 12, config.heads = 6;
      break;
    case 'b':
      config.dim = 768, config.depth = 12, config.heads = 12;
      break;
    case 'l':
      config.dim = 1024, config.depth = 24, config.heads = 16;
      break;
    case 'g':
      config.dim = 1536, config.depth = 40, config.heads = 24;
      break;
    default:
      fail("DINOv2 has the sizes s, b, l and g, got ", size);
  }
  config.hidden = 4 * config.dim;
  if (size == 'g') {
    config.feed_forward = FeedForwardKind::kFusedSwiGlu;
    config.hidden = dinov2_swiglu_hidden(config.hidden);
  }
  return config;
}

int64_t dinov2_swiglu_hidden(int64_t nominal) { return (nominal * 2 / 3 + 7) / 8 * 8; }

Dinov2::Dinov2(const Dinov2Config& config)
    : VitTeacher({.dim = config.dim,
                  .depth = config.depth,
                  .special = 1 + config.registers,
                  .layer = config.layer}),
      patch_embed(nullptr),
      blocks(nullptr),
      norm(nullptr),
      config_(config) {
  const int64_t dim = config.dim;
  cls_token = register_parameter("cls_token", at::zeros({1, 1, dim}));
  pos_embed = register_parameter("pos_embed", at::zeros({1, 1 + config.grid * config.grid, dim}));
  if (config.registers > 0) {
    register_tokens = register_parameter("register_tokens", at::zeros({1, config.registers, dim}));
  }
  mask_token = register_parameter("mask_token", at::zeros({1, dim}));
  patch_embed = register_module("patch_embed", PatchEmbed(config.patch, dim));
  blocks = register_module("blocks", make_vit_blocks(config.depth, block_config(config)));
  norm = register_module("norm", layer_norm(dim, kNormEps));
}

Tensor Dinov2::preprocess(const Tensor& images_u8) const {
  const auto normalized = normalize_pixels(unit_pixels(images_u8), kImageNetPixels);
  return resize_pixels(normalized, config_.grid * config_.patch);
}

Tensor Dinov2::hidden(const Tensor& pixels, int64_t count) {
  expect_block(count);
  const int64_t batch = pixels.size(0);
  const auto patches = patch_embed(pixels) + pos_embed.slice(1, 1);  // [B, N, D]
  const auto class_token = (cls_token + pos_embed.slice(1, 0, 1)).expand({batch, -1, -1});
  std::vector<Tensor> parts = {class_token, patches};
  if (register_tokens.defined()) {  // between class token and patches, without a position
    parts.insert(parts.begin() + 1, register_tokens.expand({batch, -1, -1}));
  }
  return run_vit_blocks(blocks, count, at::cat(parts, 1));  // [B, 1 + R + N, D]
}

void Dinov2::set_grid(int64_t grid, PositionRule rule) {
  const at::NoGradGuard no_grad;
  pos_embed.set_data(
      rule == PositionRule::kAlignment
          ? resample_positions(pos_embed, grid)
          : interpolate_positions_as_published(pos_embed, grid, register_tokens.defined()));
  config_.grid = grid;
}

}  // namespace gear::models
