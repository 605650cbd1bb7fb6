#pragma once

#include <array>

#include "gear/config/config.h"
#include "gear/core/tensor.h"

namespace gear::losses {

enum class ReconstructionKind { kL1, kL2 };

/// Mean absolute (l1) or mean squared (l2) difference over all values, in float32. Scalar.
///   reconstruction, images  [B, 3, S, S] in [-1, 1], not clamped
Tensor reconstruction_loss(const Tensor& reconstruction, const Tensor& images,
                           ReconstructionKind kind);

}  // namespace gear::losses

template <>
struct gear::config::EnumNames<gear::losses::ReconstructionKind> {
  static constexpr std::array<const char*, 2> value = {"l1", "l2"};
};
