#pragma once

#include <cstdint>

#include "ops/cpu/vector_math.h"

// Loops over the codes of one row of costs, which lies in a cache. w = e^((lowest - cost) * scale),
// scale being 1 / temperature.

namespace gear::ops::cpu {

template <class T>
struct Exponent {
  T lowest, scale;

  GEAR_INLINE T operator()(T cost) const { return vector_exp((lowest - cost) * scale); }
};

template <class T>
GEAR_VECTOR_CLONES T smallest(const T* cost, int64_t count) {
  T least = cost[0];
#pragma omp simd reduction(min : least)
  for (int64_t k = 0; k < count; ++k) least = cost[k] < least ? cost[k] : least;
  return least;
}

template <class T>
struct WeightSums {
  T weight;    // sum of w
  T weighted;  // sum of w * (cost - lowest)
};

template <class T>
GEAR_VECTOR_CLONES WeightSums<T> weight_sums(const T* cost, int64_t count, Exponent<T> exponent) {
  T weight = 0, weighted = 0;
#pragma omp simd reduction(+ : weight, weighted)
  for (int64_t k = 0; k < count; ++k) {
    const T w = exponent(cost[k]);
    weight += w;
    weighted += w * (cost[k] - exponent.lowest);
  }
  return {weight, weighted};
}

template <class T>
GEAR_VECTOR_CLONES T expectation(const T* cost, int64_t count, Exponent<T> exponent,
                                 const T* values) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < count; ++k) sum += values[k] * exponent(cost[k]);
  return sum;
}

template <class T>
GEAR_VECTOR_CLONES void write_weights(const T* cost, int64_t count, Exponent<T> exponent, T factor,
                                      T* out) {
#pragma omp simd
  for (int64_t k = 0; k < count; ++k) out[k] = factor * exponent(cost[k]);
}

template <class T>
GEAR_VECTOR_CLONES void add_weights(const T* cost, int64_t count, Exponent<T> exponent, T factor,
                                    T* sum) {
#pragma omp simd
  for (int64_t k = 0; k < count; ++k) sum[k] += factor * exponent(cost[k]);
}

/// gradient = factor * w * (mean - gradient)
template <class T>
GEAR_VECTOR_CLONES void turn_gradient(const T* cost, int64_t count, Exponent<T> exponent, T factor,
                                      T mean, T* gradient) {
#pragma omp simd
  for (int64_t k = 0; k < count; ++k) {
    gradient[k] = factor * exponent(cost[k]) * (mean - gradient[k]);
  }
}

/// gradient += factor * w * (at_lowest - slope * (cost - lowest) - to_mean)
template <class T>
struct EntropySlope {
  T factor, at_lowest, slope;
};

template <class T>
GEAR_VECTOR_CLONES void add_entropy_slope(const T* cost, int64_t count, Exponent<T> exponent,
                                          EntropySlope<T> line, const T* to_mean, T* gradient) {
#pragma omp simd
  for (int64_t k = 0; k < count; ++k) {
    const T arriving = line.at_lowest - line.slope * (cost[k] - exponent.lowest) - to_mean[k];
    gradient[k] += line.factor * exponent(cost[k]) * arriving;
  }
}

}  // namespace gear::ops::cpu
