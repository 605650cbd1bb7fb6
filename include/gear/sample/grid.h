#pragma once

#include <cstdint>

#include "gear/core/tensor.h"

namespace gear::sample {

/// Arranges pictures uint8 [N, 3, H, W] row by row into one of `columns` columns with `padding`
/// white pixels around each:
/// uint8 [3, rows * (H + padding) + padding, columns * (W + padding) + padding].
Tensor image_grid(const Tensor& images, int64_t columns, int64_t padding = 2);

}  // namespace gear::sample
