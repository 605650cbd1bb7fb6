#pragma once

#include <cstdint>

#include "ops/cpu/vectors.h"

// R rows, K inputs
// A weight [N, K] lies in panels: of some outputs the weights of input 0, then those of input 1,
// and so on. A product of a few rows with a panel holds all its sums in registers and reads the
// panel once. With four rows or more it runs at nearly the full rate of multiplications and
// additions of AVX2, with one or two at that of the memory.

namespace gear::ops::cpu {

/// How each format lies in a panel: each input takes kWords times 32 bytes, from which `read` makes
/// the weights of kVectors times 8 outputs; kPanels of them are 32 outputs, and kMostRows rows have
/// their sums in the 16 registers of AVX2. `finish` makes the products of what was summed.
struct Float32Panel {
  static constexpr int kWords = 2, kVectors = 2, kPanels = 2, kMostRows = 4;
  static GEAR_INLINE void read(const Words* at, int v, Floats& weight) {
    weight = __builtin_bit_cast(Floats, at[v]);
  }
  static GEAR_INLINE void finish(Floats* /*sums*/) {}
};

/// Word j holds output j in its lower half and output j + 8 in its upper.
struct Bfloat16Panel {
  static constexpr int kWords = 1, kVectors = 2, kPanels = 2, kMostRows = 4;
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

/// Products of so many inputs are added up at a time: a panel's weights of them stay in the first
/// cache while blocks of rows take their turns.
constexpr int64_t kBlockInputs = 1024;

/// Adds to the sums the products of `count` inputs. Both pointers stand at the first of these. A
/// panel is read as two streams, its halves, in turn: from four streams memory delivers a quarter
/// more than from one.
template <class Format, int kRows, int kPanels, bool kFetchNext>
GEAR_INLINE void accumulate(const Words* panel, const float* x, int64_t count, int64_t inputs,
                            Floats (&sum)[kRows][kPanels * Format::kVectors]) {
  const int64_t panel_words = inputs * Format::kWords;
  const auto add = [&](int64_t k) __attribute__((always_inline)) {
    const Words* at = panel + k * Format::kWords;
    if constexpr (kFetchNext) {
#pragma GCC unroll 2
      for (int w = 0; w < Format::kWords; ++w) {
        __builtin_prefetch(at + panel_words + w, /*rw=*/0, /*locality: second cache*/ 2);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kPanels * Format::kVectors; ++v) {
      Floats weight;
      Format::read(at + v / Format::kVectors * panel_words, v % Format::kVectors, weight);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sum[r][v] += weight * x[r * inputs + k];
    }
  };
  const int64_t half = count / 2;
  for (int64_t k = 0; k < half; ++k) {
    add(k);
    add(k + half);
  }
  if (count % 2 == 1) add(count - 1);
}

constexpr int kSlabOutputs = 32;  // of one panel or two: the least that is worth giving to a thread

/// One or two rows, which have too few sums to hide how long an addition takes: all panels at once.
template <class Format, int kRows>
GEAR_INLINE void multiply_few(const Words* panels, const RowBlock& rows, float* tile) {
  constexpr int kVectors = Format::kPanels * Format::kVectors;
  Floats sum[kRows][kVectors] = {};
  for (int64_t k = 0; k < rows.inputs; k += kBlockInputs) {
    const int64_t count = rows.inputs - k < kBlockInputs ? rows.inputs - k : kBlockInputs;
    accumulate<Format, kRows, Format::kPanels, /*kFetchNext=*/false>(
        panels + k * Format::kWords, rows.values + k, count, rows.inputs, sum);
  }
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v += Format::kVectors) Format::finish(sum[r] + v);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      store(sum[r][v], tile + r * kSlabOutputs + v * kLanes);
    }
  }
}

/// Which inputs of all, and whether to ask for those of the next panel.
struct InputBlock {
  int64_t first, count;
  bool fetch_next;
};

/// Adds the products of one panel with a block of kRows rows and of inputs to their tile.
template <class Format, int kRows>
GEAR_INLINE void add_block(const Words* panel, const RowBlock& rows, const InputBlock& block,
                           float* tile) {
  Floats sum[kRows][Format::kVectors] = {};
  if (block.first > 0) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Format::kVectors; ++v) {
        load(tile + r * kSlabOutputs + v * kLanes, sum[r][v]);
      }
    }
  }
  const Words* weights = panel + block.first * Format::kWords;
  const float* x = rows.values + block.first;
  if (block.fetch_next) {
    accumulate<Format, kRows, 1, true>(weights, x, block.count, rows.inputs, sum);
  } else {
    accumulate<Format, kRows, 1, false>(weights, x, block.count, rows.inputs, sum);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    if (block.first + block.count == rows.inputs) Format::finish(sum[r]);
#pragma GCC unroll 4
    for (int v = 0; v < Format::kVectors; ++v) {
      store(sum[r][v], tile + r * kSlabOutputs + v * kLanes);
    }
  }
}

/// All blocks of rows, as even as they can be: small ones use the registers badly.
template <class Format>
GEAR_INLINE void add_rows(const Words* panel, const RowBlock& rows, InputBlock block, float* tile) {
  const int64_t blocks = (rows.count + Format::kMostRows - 1) / Format::kMostRows;
  for (int64_t b = 0; b < blocks; ++b, block.fetch_next = false) {
    const int64_t first = b * rows.count / blocks;
    const RowBlock own = {rows.values + first * rows.inputs, (b + 1) * rows.count / blocks - first,
                          rows.inputs};
    float* to = tile + first * kSlabOutputs;
    if (own.count == 1) add_block<Format, 1>(panel, own, block, to);
    if (own.count == 2) add_block<Format, 2>(panel, own, block, to);
    if constexpr (Format::kMostRows > 2) {
      if (own.count == 3) add_block<Format, 3>(panel, own, block, to);
      if (own.count == 4) add_block<Format, 4>(panel, own, block, to);
    }
  }
}

/// Products of rows with a slab: tile [R, kSlabOutputs]. Every sum adds its products in the same
/// order, whatever the number of rows.
template <class Format>
GEAR_VECTOR_CLONES void multiply_slab(const void* slab, RowBlock rows, float* tile) {
  const auto* panel = static_cast<const Words*>(slab);
  if (rows.count == 1) return multiply_few<Format, 1>(panel, rows, tile);
  if (rows.count == 2) return multiply_few<Format, 2>(panel, rows, tile);
  for (int p = 0; p < Format::kPanels; ++p) {
    for (int64_t k = 0; k < rows.inputs; k += kBlockInputs) {
      const int64_t count = rows.inputs - k < kBlockInputs ? rows.inputs - k : kBlockInputs;
      add_rows<Format>(panel, rows, {k, count, /*fetch_next=*/true}, tile);
    }
    panel += rows.inputs * Format::kWords;
    tile += Format::kVectors * kLanes;
  }
}

}  // namespace gear::ops::cpu
