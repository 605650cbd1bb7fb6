#include "gear/train/flops.h"

#include <algorithm>
#include <array>

#include "gear/models/critics/lpips.h"

namespace gear::train {
namespace {

constexpr double kMultiplyAdd = 2.0;
constexpr double kTrained = 3.0;  // forward, gradient of the input, gradient of the weights
constexpr double kPassed = 2.0;   // frozen, but a gradient goes through

double convolution(double in, double out, double side) {
  return kMultiplyAdd * 9.0 * in * out * side * side;
}

/// Encoder and decoder, forward: the 3x3 convolutions of the residual blocks.
double tokenizer_forward(const RunConfig& config) {
  const auto& tokenizer = config.tokenizer;
  double flops = 0.0;
  double width_before = static_cast<double>(tokenizer.ch);
  for (size_t level = 0; level < tokenizer.ch_mult.size(); ++level) {
    const double side = std::max(static_cast<double>(config.data.image_size >> level),
                                 static_cast<double>(config.grid()));
    const double width = static_cast<double>(tokenizer.ch * tokenizer.ch_mult[level]);
    const double blocks = 2.0 * static_cast<double>(tokenizer.num_res_blocks) + 1.0;
    flops += (2.0 * blocks - 1.0) * convolution(width, width, side);
    flops += convolution(width_before, width, side);
    width_before = width;
  }
  return flops;
}

/// VGG-16 up to its last stage.
double lpips_forward(const RunConfig& config) {
  constexpr std::array<double, 5> kConvolutions = {2, 2, 3, 3, 3};
  const auto channels = models::LpipsConfig().channels;
  double flops = 0.0;
  double width_before = 3.0;
  for (size_t stage = 0; stage < channels.size(); ++stage) {
    const double side = static_cast<double>(config.data.image_size >> stage);
    const double width = static_cast<double>(channels[stage]);
    flops += convolution(width_before, width, side);
    flops += (kConvolutions[stage] - 1.0) * convolution(width, width, side);
    width_before = width;
  }
  return flops;
}

/// `blocks` blocks of the transformer, forward: projections, attention and MLP of every token.
double transformer_forward(const models::ArConfig& ar, int64_t blocks) {
  const double dim = static_cast<double>(ar.dim);
  const double tokens = static_cast<double>(ar.num_tokens);
  const double per_token =
      4.0 * dim * dim + 3.0 * dim * static_cast<double>(ar.ffn_dim()) + 2.0 * dim * tokens;
  return kMultiplyAdd * static_cast<double>(blocks) * tokens * per_token;
}

/// A product of every token with a table of all codes.
double table_product(const RunConfig& config, double width) {
  const double tokens = static_cast<double>(config.grid() * config.grid());
  return kMultiplyAdd * tokens * static_cast<double>(config.tokenizer.quantizer.num_ids()) * width;
}

}  // namespace

double flops_per_image(const RunConfig& config) {
  double flops = 0.0;
  if (config.recipe == RecipeKind::kAr) {
    flops += config.data.indices.empty() ? tokenizer_forward(config) / 2.0 : 0.0;  // the encoder
  } else {
    flops += kTrained * tokenizer_forward(config);
    if (config.loss.perceptual > 0.0) flops += (1.0 + kPassed) * lpips_forward(config);
  }
  if (config.recipe == RecipeKind::kTokenizer) return flops;
  const models::ArConfig ar = config.resolved_ar();
  const double dim = static_cast<double>(ar.dim);
  flops += kTrained * (transformer_forward(ar, ar.depth) + table_product(config, dim));
  if (config.recipe == RecipeKind::kGear && config.loss.repa) {
    flops += kPassed * transformer_forward(ar, std::min(config.loss.tap, ar.depth));
    flops += kTrained * table_product(config, dim);
  }
  return flops;
}

}  // namespace gear::train
