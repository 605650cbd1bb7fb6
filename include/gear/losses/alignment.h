#pragma once

#include <array>
#include <vector>

#include "gear/config/config.h"
#include "gear/core/tensor.h"

// B batch, L tokens per image, F feature width of a teacher

namespace gear::losses {

enum class SpatialNorm { kNone, kDemean, kZscore };

/// Normalises teacher features per sample and channel over the L tokens, in float32:
///   none    y
///   demean  y - alpha * mean_l y
///   zscore  (y - alpha * mean_l y) / (std_l y + 1e-6), unbiased standard deviation
/// target [B, L, F], same out. It takes away what all patches of an image share, so that the target
/// speaks of their differences.
Tensor spatial_norm(const Tensor& target, SpatialNorm kind, double alpha);

/// Minus the cosine between projected hidden states and teacher features, mean over the batch and
/// the tokens; norms are clamped at 1e-12. Float32 scalar in [-1, 1]. Differentiable in
/// `projected`; `target` carries no gradient.
///   projected, target  [B, L, F]
Tensor alignment_loss(const Tensor& projected, const Tensor& target);

/// The same for several teachers: mean over them.
Tensor alignment_loss(const std::vector<Tensor>& projected, const std::vector<Tensor>& targets);

}  // namespace gear::losses

template <>
struct gear::config::EnumNames<gear::losses::SpatialNorm> {
  static constexpr std::array<const char*, 3> value = {"none", "demean", "zscore"};
};
