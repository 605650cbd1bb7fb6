#include "gear/models/teachers/dinov3.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <numbers>

#include "gear/models/teachers/pixels.h"

// B batch, S image side, N patches, R registers, D width, d head width

namespace gear::models {
namespace {

struct PublishedSize {
  const char* name;
  int64_t dim, depth, heads, hidden;
  FeedForwardKind feed_forward;
};

constexpr std::array kSizes = {
    PublishedSize{"s", 384, 12, 6, 1536, FeedForwardKind::kGelu},
    PublishedSize{"splus", 384, 12, 6, 1536, FeedForwardKind::kSwiGlu},
    PublishedSize{"b", 768, 12, 12, 3072, FeedForwardKind::kGelu},
    PublishedSize{"l", 1024, 24, 16, 4096, FeedForwardKind::kGelu},
    PublishedSize{"lplus", 1024, 24, 16, 4096, FeedForwardKind::kSwiGlu},
    PublishedSize{"hplus", 1280, 32, 20, 5120, FeedForwardKind::kSwiGlu},
    PublishedSize{"7b", 4096, 40, 32, 8192, FeedForwardKind::kSwiGlu},
};

VitBlockConfig block_config(const Dinov3Config& config) {
  return {.dim = config.dim,
          .heads = config.heads,
          .hidden = config.hidden,
          .feed_forward = config.feed_forward,
          .qkv_bias = config.qkv_bias,
          .norm_eps = config.norm_eps};
}

/// Cell centres of an axis of `count` cells in (-1, 1).
Tensor coordinates(int64_t count, const at::TensorOptions& options) {
  return (at::arange(count, options) + 0.5) / count * 2 - 1;
}

/// The table with `count` rows in front that rotate by nothing.
Tensor with_unrotated(const Tensor& table, int64_t count) {
  auto rows = at::zeros({count, table.size(1), 2}, table.options());
  rows.select(-1, 0).fill_(1.0);
  return at::cat({rows, table});
}

}  // namespace

Dinov3Config dinov3_config(const std::string& size) {
  for (const PublishedSize& published : kSizes) {
    if (size != published.name) continue;
    Dinov3Config config;
    config.dim = published.dim;
    config.depth = published.depth;
    config.heads = published.heads;
    config.hidden = published.hidden;
    config.feed_forward = published.feed_forward;
    if (size == "7b") {
      config.qkv_bias = QkvBias::kNone;
      config.local_cls_norm = true;
    }
    return config;
  }
  fail("DINOv3 has the sizes s, splus, b, l, lplus, hplus and 7b, got ", size);
}

int64_t dinov3_swiglu_hidden(int64_t nominal, int64_t multiple) {
  return (nominal * 2 / 3 + multiple - 1) / multiple * multiple;
}

RopeEmbedImpl::RopeEmbedImpl(int64_t head_dim, double base) {
  TORCH_CHECK(head_dim % 4 == 0, "RopeEmbed: head_dim must be a multiple of 4, got ", head_dim);
  const auto exponents = 2 * at::arange(head_dim / 4, at::kFloat) / (head_dim / 2);
  periods = register_buffer("periods", at::pow(at::Scalar(base), exponents));
}

Tensor RopeEmbedImpl::forward(int64_t rows, int64_t columns) const {
  constexpr double kTurn = 2.0 * std::numbers::pi;
  const auto axis = [&](int64_t count) {
    return kTurn * coordinates(count, periods.options()).unsqueeze(-1) / periods;  // [count, d / 4]
  };
  const auto by_row = axis(rows).unsqueeze(1).expand({rows, columns, -1});
  const auto by_column = axis(columns).unsqueeze(0).expand({rows, columns, -1});
  const auto angles = at::cat({by_row, by_column}, -1).flatten(0, 1);  // [N, d / 2]
  return at::stack({angles.cos(), angles.sin()}, -1);
}

Dinov3::Dinov3(const Dinov3Config& config)
    : VitTeacher({.dim = config.dim,
                  .depth = config.depth,
                  .special = 1 + config.registers,
                  .layer = config.layer}),
      patch_embed(nullptr),
      rope_embed(nullptr),
      blocks(nullptr),
      norm(nullptr),
      config_(config) {
  const int64_t dim = config.dim;
  cls_token = register_parameter("cls_token", at::zeros({1, 1, dim}));
  if (config.registers > 0) {
    storage_tokens = register_parameter("storage_tokens", at::zeros({1, config.registers, dim}));
  }
  mask_token = register_parameter("mask_token", at::zeros({1, dim}));
  patch_embed = register_module("patch_embed", PatchEmbed(config.patch, dim));
  rope_embed = register_module("rope_embed", RopeEmbed(dim / config.heads, config.rope_base));
  blocks = register_module("blocks", make_vit_blocks(config.depth, block_config(config)));
  norm = register_module("norm", layer_norm(dim, config.norm_eps));
  if (config.local_cls_norm) register_module("local_cls_norm", layer_norm(dim, config.norm_eps));
}

Tensor Dinov3::preprocess(const Tensor& images_u8) const {
  return normalize_pixels(unit_pixels(images_u8), kImageNetPixels);
}

RotaryPositions Dinov3::positions(int64_t rows, int64_t columns) const {
  const auto table = rope_embed->forward(rows, columns);
  return {.table = with_unrotated(table, 1 + config_.registers), .halves = true};
}

Tensor Dinov3::hidden(const Tensor& pixels, int64_t count) {
  expect_block(count);
  const int64_t batch = pixels.size(0);
  std::vector<Tensor> parts = {cls_token.expand({batch, -1, -1})};
  if (storage_tokens.defined()) parts.push_back(storage_tokens.expand({batch, -1, -1}));
  parts.push_back(patch_embed(pixels));   // [B, N, D]
  const auto tokens = at::cat(parts, 1);  // [B, 1 + R + N, D]
  return run_vit_blocks(blocks, count, tokens,
                        positions(pixels.size(2) / config_.patch, pixels.size(3) / config_.patch));
}

}  // namespace gear::models
