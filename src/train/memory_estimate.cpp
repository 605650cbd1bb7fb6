#include "gear/train/memory_estimate.h"

#include <algorithm>
#include <array>

#include "gear/models/critics/lpips.h"
#include "gear/models/teachers/teacher.h"
#include "gear/nn/meta_scope.h"

namespace gear::train {
namespace {

constexpr double kFloat = 4.0;

double parameter_bytes(const torch::nn::Module& module) {
  double count = 0.0;
  for (const auto& parameter : module.parameters()) count += static_cast<double>(parameter.numel());
  return kFloat * count;
}

double side_after(const RunConfig& config, size_t halvings) {
  return static_cast<double>(config.data.image_size >> halvings);
}

/// Values kept for the backward pass of the convolutional tokenizer, per image: every residual
/// block keeps about three maps of its level (the inputs of its two norms and its sum, while the
/// next is made), or its input alone where it is computed again.
double tokenizer_values(const RunConfig& config) {
  const double maps_per_block = config.tokenizer.activation_checkpointing ? 1.0 : 3.0;
  double values = 0.0;
  for (size_t level = 0; level < config.tokenizer.ch_mult.size(); ++level) {
    // Levels behind the last halving keep the size of the token grid.
    const double side = std::max(side_after(config, level), static_cast<double>(config.grid()));
    const double width = static_cast<double>(config.tokenizer.ch * config.tokenizer.ch_mult[level]);
    const double blocks = 2.0 * static_cast<double>(config.tokenizer.num_res_blocks) + 1.0;
    values += maps_per_block * blocks * width * side * side;
  }
  return values;
}

/// Values kept by the five VGG stages of LPIPS, per image: each convolution of the reconstruction,
/// and about four maps a stage for the comparison with the real image.
double lpips_values(const RunConfig& config) {
  constexpr std::array<double, 5> kConvolutions = {2, 2, 3, 3, 3};
  constexpr double kComparison = 4.0;
  const auto channels = models::LpipsConfig().channels;
  double values = 0.0;
  for (size_t stage = 0; stage < channels.size(); ++stage) {
    const double side = side_after(config, stage);
    values +=
        (kConvolutions[stage] + kComparison) * static_cast<double>(channels[stage]) * side * side;
  }
  return values;
}

/// Values kept by one pass of the discriminator, per image: convolution, norm and activation.
double discriminator_values(const RunConfig& config) {
  constexpr double kMapsPerLayer = 3.0;
  double values = 0.0;
  for (int64_t layer = 0; layer <= config.discriminator.layers; ++layer) {
    const double side =
        side_after(config, static_cast<size_t>(std::min(layer + 1, config.discriminator.layers)));
    const double width =
        static_cast<double>(config.discriminator.ndf << std::min<int64_t>(layer, 3));
    values += kMapsPerLayer * width * side * side;
  }
  return values;
}

/// Values kept for the backward pass of the first `blocks` blocks of the transformer, per image.
double ar_block_values(const models::ArConfig& ar, int64_t blocks) {
  const double per_block =
      static_cast<double>(ar.num_tokens) *
      (10.0 * static_cast<double>(ar.dim) + 4.0 * static_cast<double>(ar.ffn_dim()));
  return per_block * (ar.activation_checkpointing ? 1.0 : static_cast<double>(blocks));
}

/// Bytes of update (1), per image: the tokenizer with its critics, and the soft path up to the tap.
double tokenizer_update_bytes(const RunConfig& config, double activation_bytes) {
  const LossConfig& loss = config.loss;
  double bytes = activation_bytes * tokenizer_values(config);
  if (loss.perceptual > 0.0) bytes += kFloat * lpips_values(config);
  if (loss.gan > 0.0) bytes += kFloat * discriminator_values(config);
  if (config.recipe == RecipeKind::kGear && loss.repa) {
    bytes += activation_bytes * ar_block_values(config.resolved_ar(), loss.tap);
  }
  return bytes;
}

/// Bytes of update (3), per image: the whole transformer. Logits exist in blocks only.
double ar_update_bytes(const RunConfig& config, double activation_bytes) {
  const models::ArConfig ar = config.resolved_ar();
  return activation_bytes * ar_block_values(ar, ar.depth);
}

}  // namespace

double frozen_bytes(const RunConfig& config) {
  const nn::MetaScope meta;
  double bytes = 0.0;
  if (config.recipe == RecipeKind::kAr) {
    bytes += parameter_bytes(*models::make_tokenizer(config.tokenizer));
  } else if (config.loss.perceptual > 0.0) {
    bytes += parameter_bytes(*models::make_lpips("", ""));
  }
  if (config.recipe == RecipeKind::kTokenizer || !config.loss.repa) return bytes;
  models::TeacherConfig shapes = config.teacher;
  shapes.weights.clear();  // the shapes are enough
  for (const auto& single : models::single_teachers(shapes)) {
    bytes += parameter_bytes(*models::make_teacher(single, config.grid()));
  }
  return bytes;
}

double activation_bytes_per_image(const RunConfig& config) {
  const double activation_bytes = config.precision == Precision::kBf16 ? 2.5 : kFloat;
  double tokenizer_update = 0.0, ar_update = 0.0;
  if (config.recipe != RecipeKind::kAr) {
    tokenizer_update = tokenizer_update_bytes(config, activation_bytes);
  }
  if (config.recipe != RecipeKind::kTokenizer) {
    ar_update = ar_update_bytes(config, activation_bytes);
  }
  // Update (1) ends, and with it its graph, before update (3) begins.
  return std::max(tokenizer_update, ar_update);
}

}  // namespace gear::train
