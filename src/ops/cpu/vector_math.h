#pragma once

#include <c10/util/BFloat16.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "ops/cpu/dispatch.h"

// Elementary functions and conversions without calls or branches, so that loops over them become
// vector code.

namespace gear::ops::cpu {

template <class T>
struct ComputeTypeOf {
  using Type = T;
};
template <>
struct ComputeTypeOf<c10::BFloat16> {
  using Type = float;
};
/// What one computes in for tensors of T: float for bfloat16, else T itself.
template <class T>
using ComputeType = typename ComputeTypeOf<T>::Type;

GEAR_INLINE float widen(float value) { return value; }
GEAR_INLINE double widen(double value) { return value; }
GEAR_INLINE float widen(c10::BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.x) << 16);
}

/// The nearest T; halfway cases go to the even one. NaN stays NaN.
template <class T>
GEAR_INLINE T narrow(ComputeType<T> value) {
  return value;
}
template <>
GEAR_INLINE c10::BFloat16 narrow<c10::BFloat16>(float value) {
  constexpr uint32_t kNan = 0x7fc0;
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t result = value != value ? kNan : rounded;
  return c10::BFloat16(static_cast<uint16_t>(result), c10::BFloat16::from_bits());
}

/// e^x within 2 units in the last place; x beyond +-87 counts as +-87, which keeps the result
/// between 1.6e-38 and 6.1e37: neither 0 nor infinite, nor denormal. NaN gives NaN. Method: e^x =
/// 2^n e^r with |r| <= ln(2) / 2, and a polynomial in r.
GEAR_INLINE float vector_exp(float x) {
  constexpr float kLargest = 87.0f;
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;  // few digits: n times it is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number

  x = std::abs(x) > kLargest ? std::copysign(kLargest, x) : x;  // two comparisons would be branches
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;

  float p = 1.38145406e-3f;  // least largest relative error with 1 + r given: 3e-9
  p = p * r + 8.36874545e-3f;
  p = p * r + 4.16683890e-2f;
  p = p * r + 1.66665211e-1f;
  p = p * r + 4.99999940e-1f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;

  // The last bits of `shifted` are n in two's complement; this moves them to the exponent.
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) << 23) + std::bit_cast<uint32_t>(1.0f);
  return p * std::bit_cast<float>(power);
}
/// For gradients checked in float64; not vector code.
GEAR_INLINE double vector_exp(double x) { return std::exp(x); }

/// 1 / (1 + e^-x)
template <class F>
GEAR_INLINE F sigmoid(F x) {
  return F{1} / (F{1} + vector_exp(-x));
}

}  // namespace gear::ops::cpu
