#pragma once

#include <cstdint>

#include "ops/cpu/dispatch.h"

// R rows, K inputs
// A weight [N, K] lies in panels: of 16 outputs the weights of input 0, then those of input 1, and
// so on. A product of a few rows with a panel holds all its sums in registers and reads the panel
// once, from front to end. With six rows it runs at the full rate of multiplications and additions
// of AVX2, with one or two at that of the memory.

namespace gear::ops::cpu {

constexpr int kPanel = 16;  // outputs
constexpr int kLanes = 8;
constexpr int kMostRows = 6;  // twelve sums, two weights and a factor fill the 16 registers of AVX2

// Vectors by the language extension of GCC and clang: every processor gets its own code for them.
// They are passed by reference, since how they are passed by value depends on the processor.
using Floats [[gnu::vector_size(32)]] = float;
using Words [[gnu::vector_size(32), gnu::may_alias]] = uint32_t;
using Integers [[gnu::vector_size(32)]] = int32_t;
using UnalignedFloats [[gnu::vector_size(32), gnu::aligned(4), gnu::may_alias]] = float;

/// How each format lies in a panel: kInputs inputs in kWords times 32 bytes. `read` gives outputs 0
/// to 7 and 8 to 15 of input `i` of these.
struct Float32Panel {
  static constexpr int kInputs = 1, kWords = 2;
  static GEAR_INLINE void read(const Words* at, int /*i*/, Floats& low, Floats& high) {
    low = __builtin_bit_cast(Floats, at[0]);
    high = __builtin_bit_cast(Floats, at[1]);
  }
};

/// Word j holds output j in its lower half and output j + 8 in its upper.
struct Bfloat16Panel {
  static constexpr int kInputs = 1, kWords = 1;
  static GEAR_INLINE void read(const Words* at, int /*i*/, Floats& low, Floats& high) {
    low = __builtin_bit_cast(Floats, at[0] << 16);
    high = __builtin_bit_cast(Floats, at[0] & 0xffff0000U);
  }
};

/// Word j holds, from its lowest byte on, outputs j and j + 8 of one input, then of the next. Read
/// as kUnit times the weight: a byte that stays at the top of its word needs one shift less.
struct Int8Panel {
  static constexpr int kInputs = 2, kWords = 1;
  static constexpr float kUnit = 0x1.0p24F;
  static GEAR_INLINE void read(const Words* at, int i, Floats& low, Floats& high) {
    constexpr uint32_t kTop = 0xff000000U;
    const Words first = i == 0 ? at[0] << 24 : at[0] << 8 & kTop;
    const Words second = i == 0 ? at[0] << 16 & kTop : at[0] & kTop;
    low = __builtin_convertvector(__builtin_bit_cast(Integers, first), Floats);
    high = __builtin_convertvector(__builtin_bit_cast(Integers, second), Floats);
  }
};

/// Some rows of x [R, K].
struct RowBlock {
  const float* values;
  int64_t count;  // 1 to kMostRows
  int64_t inputs;
};

/// Products of kRows rows with kPanels neighbouring panels: tile [kRows, kPanels * 16].
template <class Format, int kRows, int kPanels>
GEAR_INLINE void multiply(const Words* panel, int64_t panel_words, const RowBlock& rows,
                          float* tile, int64_t tile_stride) {
  constexpr int kVectors = kPanels * 2;
  Floats sum[kRows][kVectors] = {};
  const auto add = [&](const Words* at, int64_t k, int inputs) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int i = 0; i < inputs; ++i) {
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        Floats low, high;
        Format::read(at + p * panel_words, i, low, high);
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
          const float x = rows.values[r * rows.inputs + k + i];
          const Floats factor = {x, x, x, x, x, x, x, x};
          sum[r][2 * p] += low * factor;
          sum[r][2 * p + 1] += high * factor;
        }
      }
    }
  };
  int64_t k = 0;
  for (; k + Format::kInputs <= rows.inputs; k += Format::kInputs, panel += Format::kWords) {
    add(panel, k, Format::kInputs);
  }
  if (k < rows.inputs) add(panel, k, 1);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      reinterpret_cast<UnalignedFloats&>(tile[r * tile_stride + v * kLanes]) = sum[r][v];
    }
  }
}

/// A pair of panels, the least that is worth handing to a thread.
constexpr int kPairOutputs = 2 * kPanel;

/// Products of up to kMostRows rows with a pair of panels: tile [kMostRows, kPairOutputs]. Each sum
/// runs over the inputs in their order.
template <class Format>
GEAR_VECTOR_CLONES void multiply_pair(const void* pair, RowBlock rows, float* tile) {
  const auto* first = static_cast<const Words*>(pair);
  const int64_t words =
      (rows.inputs + Format::kInputs - 1) / Format::kInputs * Format::kWords;  // of a panel
  // One or two rows have too few sums to hide how long an addition takes: both panels at once.
  if (rows.count == 1) return multiply<Format, 1, 2>(first, words, rows, tile, kPairOutputs);
  if (rows.count == 2) return multiply<Format, 2, 2>(first, words, rows, tile, kPairOutputs);
  for (int p = 0; p < 2; ++p, first += words, tile += kPanel) {
    if (rows.count == 3) multiply<Format, 3, 1>(first, words, rows, tile, kPairOutputs);
    if (rows.count == 4) multiply<Format, 4, 1>(first, words, rows, tile, kPairOutputs);
    if (rows.count == 5) multiply<Format, 5, 1>(first, words, rows, tile, kPairOutputs);
    if (rows.count == 6) multiply<Format, 6, 1>(first, words, rows, tile, kPairOutputs);
  }
}

}  // namespace gear::ops::cpu
