#pragma once

#include "gear/core/tensor.h"

// n source grid side, g target grid side, D width

namespace gear::models {

/// How a learned position table is brought to another grid.
enum class PositionRule {
  kAlignment,  ///< resample_positions: the features that this method aligns with
  kPublished,  ///< interpolate_positions_as_published: the features of FD-DINOv2
};

/// Position table resampled for alignment: bicubic (a = -0.5) with antialias to g x g, the class
/// row kept. The identity when n = g.
///   pos_embed  [1, 1 + n^2, D] -> [1, 1 + g^2, D]
Tensor resample_positions(const Tensor& pos_embed, int64_t grid);

/// The rule of the published DINOv2 model itself, which FD-DINOv2 uses. It differs from
/// resample_positions: without registers bicubic a = -0.75, no antialias, source coordinates from
/// the scale factor (g + 0.1) / n; with registers antialiased by sizes. The identity when n = g.
Tensor interpolate_positions_as_published(const Tensor& pos_embed, int64_t grid,
                                          bool has_registers);

}  // namespace gear::models
