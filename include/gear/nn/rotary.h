#pragma once

#include <cstdint>

#include "gear/core/tensor.h"

// P condition prefix length, L = side * side grid cells, n positions, H heads, d head width

namespace gear::nn {

/// Shape of a 2-D rotary position embedding behind a condition prefix.
struct RotaryGrid {
  int64_t prefix = 1;
  int64_t side = 16;
  int64_t head_dim = 64;  // a multiple of 4: half of the angles follow the row, half the column
  double base = 10000.0;
  bool zero_prefix = true;  ///< cos = sin = 0 in the prefix rows, else cos = 1, sin = 0
};

/// (cos, sin) of every position, float32 [P + L, d / 2, 2]. Row P + i is grid cell i in raster
/// order; a prefix row of zeros turns queries and keys there into zero vectors.
Tensor rotary_table(const RotaryGrid& grid);

/// Rotates the adjacent channel pairs (2p, 2p + 1) of x in float32 and returns the type of x.
///   x      [B, n, H, d]
///   table  [n, d / 2, 2], the rows of the n positions
Tensor apply_rotary(const Tensor& x, const Tensor& table);

}  // namespace gear::nn
