#pragma once

#include <cstdint>

#include "ops/cpu/dispatch.h"

// R rows, K inputs
// A weight [N, K] lies in panels: of some outputs the weights of input 0, then those of input 1,
// and so on. A product of a few rows with a panel holds all its sums in registers and reads the
// panel once. With four rows or more it runs at nearly the full rate of multiplications and
// additions of AVX2, with one or two at that of the memory.

namespace gear::ops::cpu {

constexpr int kLanes = 8;

// Vectors by the language extension of GCC and clang: every processor gets its own code for them.
// They are passed by reference, since how they are passed by value depends on the processor.
using Floats [[gnu::vector_size(32)]] = float;
using Words [[gnu::vector_size(32), gnu::may_alias]] = uint32_t;
using Integers [[gnu::vector_size(32)]] = int32_t;
using UnalignedFloats [[gnu::vector_size(32), gnu::aligned(4), gnu::may_alias]] = float;

/// How each format lies in a panel: each input takes kWords times 32 bytes, from which `read` makes
/// the weights of kVectors times 8 outputs; kPanels of them are 32 outputs, and kMostRows rows have
/// their sums in the 16 registers of AVX2. `finish` makes the products of what was summed.
struct Float32Panel {
  static constexpr int kWords = 2, kVectors = 2, kPanels = 2, kMostRows = 5;
  static GEAR_INLINE void read(const Words* at, int v, Floats& weight) {
    weight = __builtin_bit_cast(Floats, at[v]);
  }
  static GEAR_INLINE void finish(Floats* /*sums*/) {}
};

/// Word j holds output j in its lower half and output j + 8 in its upper.
struct Bfloat16Panel {
  static constexpr int kWords = 1, kVectors = 2, kPanels = 2, kMostRows = 5;
  static GEAR_INLINE void read(const Words* at, int v, Floats& weight) {
    weight = __builtin_bit_cast(Floats, v == 0 ? at[0] << 16 : at[0] & 0xffff0000U);
  }
  static GEAR_INLINE void finish(Floats* /*sums*/) {}
};

/// Word j is w(j) + 2^8 w(j + 8) + 2^16 w(j + 16) + 2^24 w(j + 24), a sum of signed numbers. Moved
/// up until the wanted weight stands at 2^24, it still has those before at 2^16, 2^8 and 1: what
/// the sum before this one has, divided by 2^8. So that is taken off once, in the end, and not from
/// every word.
struct Int8Panel {
  static constexpr int kWords = 1, kVectors = 4, kPanels = 1, kMostRows = 2;
  static constexpr float kUnit = 0x1.0p24F;  // of what is summed
  static constexpr int kAhead = 32;          // so much to do for each byte hides the next from view
  static GEAR_INLINE void read(const Words* at, int v, Floats& weight) {
    if (v == 0) __builtin_prefetch(at + kAhead);
    weight = __builtin_convertvector(__builtin_bit_cast(Integers, at[0] << (24 - 8 * v)), Floats);
  }
  static GEAR_INLINE void finish(Floats* sums) {
    constexpr float kNext = 0x1.0p-8F;
    for (int v = kVectors - 1; v > 0; --v) sums[v] -= sums[v - 1] * kNext;
  }
};

/// Some rows of x [R, K].
struct RowBlock {
  const float* values;
  int64_t count;
  int64_t inputs;
};

/// Products of kRows rows with kPanels neighbouring panels, tile_stride floats from row to row. A
/// panel is read as two streams, its halves, in turn: from four streams memory delivers a quarter
/// more than from one.
template <class Format, int kRows, int kPanels>
GEAR_INLINE void multiply(const Words* panel, const RowBlock& rows, float* tile,
                          int64_t tile_stride) {
  constexpr int kVectors = kPanels * Format::kVectors;
  const int64_t panel_words = rows.inputs * Format::kWords;
  Floats sum[kRows][kVectors] = {};
  const auto add = [&](int64_t k) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t word = v / Format::kVectors * panel_words + k * Format::kWords;
      Floats weight;
      Format::read(panel + word, v % Format::kVectors, weight);
#pragma GCC unroll 5
      for (int r = 0; r < kRows; ++r) {
        const float x = rows.values[r * rows.inputs + k];
        const Floats factor = {x, x, x, x, x, x, x, x};
        sum[r][v] += weight * factor;
      }
    }
  };
  const int64_t half = rows.inputs / 2;
  for (int64_t k = 0; k < half; ++k) {
    add(k);
    add(k + half);
  }
  if (rows.inputs % 2 == 1) add(rows.inputs - 1);
#pragma GCC unroll 5
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) Format::finish(sum[r] + p * Format::kVectors);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      reinterpret_cast<UnalignedFloats&>(tile[r * tile_stride + v * kLanes]) = sum[r][v];
    }
  }
}

constexpr int kSlabOutputs = 32;  // of one panel or two: the least that is worth giving to a thread

/// Products of up to Format::kMostRows rows with a slab: tile [rows, kSlabOutputs]. Every sum adds
/// its products in the same order, whatever the number of rows.
template <class Format>
GEAR_VECTOR_CLONES void multiply_slab(const void* slab, RowBlock rows, float* tile) {
  const auto* panel = static_cast<const Words*>(slab);
  // One or two rows have too few sums to hide how long an addition takes: all panels at once.
  if (rows.count == 1) return multiply<Format, 1, Format::kPanels>(panel, rows, tile, kSlabOutputs);
  if (rows.count == 2) return multiply<Format, 2, Format::kPanels>(panel, rows, tile, kSlabOutputs);
  if constexpr (Format::kMostRows > 2) {
    for (int p = 0; p < Format::kPanels; ++p) {
      if (rows.count == 3) multiply<Format, 3, 1>(panel, rows, tile, kSlabOutputs);
      if (rows.count == 4) multiply<Format, 4, 1>(panel, rows, tile, kSlabOutputs);
      if (rows.count == 5) multiply<Format, 5, 1>(panel, rows, tile, kSlabOutputs);
      panel += rows.inputs * Format::kWords;
      tile += Format::kVectors * kLanes;
    }
  }
}

}  // namespace gear::ops::cpu
