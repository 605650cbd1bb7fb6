#include "gear/models/teachers/dinov2.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/zeros.h>

#include "gear/models/teachers/positions.h"

// B batch, S image side, g grid side, N = g^2 patches, R registers, D width

namespace gear::models {
namespace {

constexpr double kNormEps = 1e-6;

torch::nn::ModuleList make_blocks(const Dinov2Config& config) {
  torch::nn::ModuleList blocks;
  for (int64_t i = 0; i < config.depth; ++i) {
    blocks->push_back(VitBlock(VitBlockConfig{.dim = config.dim,
                                              .heads = config.heads,
                                              .hidden = config.hidden,
                                              .feed_forward = config.feed_forward,
                                              .norm_eps = kNormEps}));
  }
  return blocks;
}

bool is_gain(const std::string& name, const Tensor& parameter) {
  return name.ends_with("gamma") || (parameter.dim() == 1 && name.ends_with("weight"));
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
    config.feed_forward = FeedForwardKind::kSwiGlu;
    config.hidden = dinov2_swiglu_hidden(config.hidden);
  }
  return config;
}

int64_t dinov2_swiglu_hidden(int64_t nominal) { return (nominal * 2 / 3 + 7) / 8 * 8; }

Dinov2::Dinov2(const Dinov2Config& config)
    : patch_embed(nullptr), blocks(nullptr), norm(nullptr), config_(config) {
  const int64_t dim = config.dim;
  cls_token = register_parameter("cls_token", at::zeros({1, 1, dim}));
  pos_embed = register_parameter("pos_embed", at::zeros({1, 1 + config.grid * config.grid, dim}));
  if (config.registers > 0) {
    register_tokens = register_parameter("register_tokens", at::zeros({1, config.registers, dim}));
  }
  mask_token = register_parameter("mask_token", at::zeros({1, dim}));
  patch_embed = register_module("patch_embed", PatchEmbed(config.patch, dim));
  blocks = register_module("blocks", make_blocks(config));
  norm = register_module("norm",
                         torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(kNormEps)));
}

Tensor Dinov2::preprocess(const Tensor& images_u8) const {
  TORCH_CHECK(images_u8.scalar_type() == at::kByte, "Dinov2: images must be uint8, got ",
              images_u8.scalar_type());
  const auto options = at::TensorOptions().dtype(at::kFloat).device(images_u8.device());
  const auto mean = at::tensor({0.485, 0.456, 0.406}, options).view({1, 3, 1, 1});
  const auto std = at::tensor({0.229, 0.224, 0.225}, options).view({1, 3, 1, 1});
  const auto normalized = (images_u8.to(at::kFloat) / 255 - mean) / std;  // [B, 3, S, S]
  const int64_t side = config_.grid * config_.patch;
  return at::upsample_bicubic2d(normalized, {side, side}, /*align_corners=*/false);
}

Tensor Dinov2::hidden(const Tensor& pixels, int64_t count) {
  TORCH_CHECK(count >= 0 && count <= config_.depth, "Dinov2: no block ", count);
  const int64_t batch = pixels.size(0);
  const auto patches = patch_embed(pixels) + pos_embed.slice(1, 1);  // [B, N, D]
  const auto class_token = (cls_token + pos_embed.slice(1, 0, 1)).expand({batch, -1, -1});
  std::vector<Tensor> parts = {class_token, patches};
  if (register_tokens.defined()) {  // between class token and patches, without a position
    parts.insert(parts.begin() + 1, register_tokens.expand({batch, -1, -1}));
  }
  auto x = at::cat(parts, 1);  // [B, 1 + R + N, D]
  for (int64_t i = 0; i < count; ++i) x = blocks->at<VitBlockImpl>(i).forward(x);
  return x;
}

Tensor Dinov2::encode(const Tensor& images_u8) {
  const at::NoGradGuard no_grad;
  const auto pixels = preprocess(images_u8);
  const auto tokens =
      config_.layer < 0 ? norm(hidden(pixels, config_.depth)) : hidden(pixels, config_.layer);
  return patch_tokens(tokens).to(at::kFloat);
}

void Dinov2::set_grid(int64_t grid) {
  const at::NoGradGuard no_grad;
  pos_embed.set_data(resample_positions(pos_embed, grid));
  config_.grid = grid;
}

void Dinov2::initialize_randomly() {
  const at::NoGradGuard no_grad;
  for (auto& item : named_parameters()) {
    Tensor parameter = item.value();
    if (is_gain(item.key(), parameter)) {
      parameter.fill_(1.0);
    } else if (item.key().ends_with("bias")) {
      parameter.zero_();
    } else {
      parameter.normal_(0.0, 0.02);
    }
  }
}

}  // namespace gear::models
