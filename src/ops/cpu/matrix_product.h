#pragma once

#include <cstdint>

#include "ops/cpu/vector.h"

// A matrix product out of tiles that stay in registers while they are summed up.

namespace gear::ops::cpu {

/// Rows and columns of a tile: as many sums as registers hold, beside a row of b and a value of a.
template <int64_t lanes>
struct RegisterTile {
  static constexpr int64_t kRows = lanes == 16 ? 12 : 6;  // of 32 registers, or of 16
  static constexpr int64_t kVectors = 2;
  static constexpr int64_t kColumns = kVectors * lanes;
};

/// c[i][k] = sum over d of a[i][d] * b[d][k], or that added to c. Columns come in panels of
/// RegisterTile::kColumns, so their number is a multiple of it.
struct Product {
  int64_t rows, columns, depth;
  const float* a;
  int64_t a_row, a_depth;  // elements from one row, or step of the sum, to the next
  const float* b;
  int64_t b_panel, b_depth;
  float* c;
  int64_t c_row;
  bool add;
};

template <int64_t lanes, int64_t rows>
GEAR_INLINE void multiply_tile(const Product& p, const float* a, const float* b, float* c) {
  using V = Vector<lanes>;
  constexpr int64_t kVectors = RegisterTile<lanes>::kVectors;
  V sums[rows][kVectors] = {};
  for (int64_t d = 0; d < p.depth; ++d, a += p.a_depth, b += p.b_depth) {
    V line[kVectors];
    for (int64_t v = 0; v < kVectors; ++v) line[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 12
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t v = 0; v < kVectors; ++v) sums[i][v] += a[i * p.a_row] * line[v];
    }
  }
#pragma GCC unroll 12
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t v = 0; v < kVectors; ++v) {
      float* to = c + i * p.c_row + v * lanes;
      store(to, p.add ? sums[i][v] + load<lanes>(to) : sums[i][v]);
    }
  }
}

/// A tile of `count` rows, from 1 to `most`.
template <int64_t lanes, int64_t most>
GEAR_INLINE void multiply_rows(int64_t count, const Product& p, const float* a, const float* b,
                               float* c) {
  if constexpr (most > 1) {
    if (count < most) return multiply_rows<lanes, most - 1>(count, p, a, b, c);
  }
  multiply_tile<lanes, most>(p, a, b, c);
}

/// Rows of the next tile. The last two share what is left, since thin ones are slow.
GEAR_INLINE int64_t rows_to_take(int64_t left, int64_t most) {
  if (left <= most) return left;
  return left < 2 * most ? (left + 1) / 2 : most;
}

template <int64_t lanes>
GEAR_INLINE void multiply(const Product& p) {
  using Tile = RegisterTile<lanes>;
  for (int64_t k = 0; k < p.columns; k += Tile::kColumns) {
    const float* b = p.b + k / Tile::kColumns * p.b_panel;
    for (int64_t i = 0; i < p.rows;) {
      const int64_t count = rows_to_take(p.rows - i, Tile::kRows);
      multiply_rows<lanes, Tile::kRows>(count, p, p.a + i * p.a_row, b, p.c + i * p.c_row + k);
      i += count;
    }
  }
}

}  // namespace gear::ops::cpu
