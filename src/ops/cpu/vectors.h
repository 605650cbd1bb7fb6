#pragma once

#include <cstdint>

#include "ops/cpu/dispatch.h"

// Vectors of 8 floats by the language extension of GCC and clang: every processor gets its own code
// for them. They are passed by reference, since how they are passed by value depends on the
// processor.

namespace gear::ops::cpu {

constexpr int kLanes = 8;

using Floats [[gnu::vector_size(32)]] = float;
using Words [[gnu::vector_size(32), gnu::may_alias]] = uint32_t;
using Integers [[gnu::vector_size(32)]] = int32_t;
using UnalignedFloats [[gnu::vector_size(32), gnu::aligned(4), gnu::may_alias]] = float;
using UnalignedWords [[gnu::vector_size(32), gnu::aligned(2), gnu::may_alias]] = uint32_t;

GEAR_INLINE void load(const float* from, Floats& vector) {
  vector = reinterpret_cast<const UnalignedFloats&>(*from);
}
GEAR_INLINE void store(const Floats& vector, float* to) {
  reinterpret_cast<UnalignedFloats&>(*to) = vector;
}

/// Two bfloat16 numbers in each word, as those in the lower halves and those in the upper.
GEAR_INLINE void split_halves(const Words& words, Floats& lower, Floats& upper) {
  lower = __builtin_bit_cast(Floats, words << 16);
  upper = __builtin_bit_cast(Floats, words & 0xffff0000U);
}

GEAR_INLINE float sum_of(const Floats& v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

}  // namespace gear::ops::cpu
