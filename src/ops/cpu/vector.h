#pragma once

#include <cstdint>
#include <cstring>

#include "ops/cpu/dispatch.h"

// Vectors of floats for loops whose values must stay in registers. Everything here is inlined into
// functions that are compiled for a processor with such vectors, so how they would be passed
// between functions does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace gear::ops::cpu {

template <int64_t lanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(lanes * sizeof(float))));
};
template <int64_t lanes>
using Vector = typename VectorOf<lanes>::Type;

template <int64_t lanes>
GEAR_INLINE Vector<lanes> load(const float* from) {
  Vector<lanes> vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <class V>
GEAR_INLINE void store(float* to, const V& vector) {
  std::memcpy(to, &vector, sizeof vector);
}

}  // namespace gear::ops::cpu
