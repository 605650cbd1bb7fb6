#pragma once

#include "ops/cpu/vector.h"

// The outputs of a correlation of six inputs with `taps` weights, by six products instead of
// outputs times taps: multiplying polynomials by way of their values at six points.
//   y = At ((G w) * (Bt d))        d [6], w [taps], y [7 - taps]
// The points are 0, +-s, +-t and infinity. With s = sqrt(1/2) and t = sqrt(2), s t = 1, rounding
// errors are less than half of those of the usual points 0, +-1, +-2. A pair of points shares its
// even and odd parts. In two dimensions each matrix goes to the columns and then to the rows.

namespace gear::ops::cpu::winograd {

inline constexpr int64_t kInputs = 6;  // per side of a tile
inline constexpr int64_t kProducts = kInputs * kInputs;
template <int64_t taps>
inline constexpr int64_t kOutputs = kInputs - taps + 1;

inline constexpr float kS = 0.70710678118654752f;
inline constexpr float kT = 1.41421356237309505f;
inline constexpr float kSSquare = 0.5f;
inline constexpr float kTSquare = 2.0f;
// 1 / product of the differences between a point and the others that are not infinite.
inline constexpr float kSWeight = -2.0f / 3.0f;
inline constexpr float kTWeight = 1.0f / 6.0f;

/// Bt: inputs [6] -> [6]
template <class V>
GEAR_INLINE void transform_input(const V* d, V* out) {
  const V s_even = d[4] - kTSquare * d[2], s_odd = d[3] - kTSquare * d[1];
  const V t_even = d[4] - kSSquare * d[2], t_odd = d[3] - kSSquare * d[1];
  out[0] = d[0] - (kSSquare + kTSquare) * d[2] + d[4];
  out[1] = s_even + kS * s_odd;
  out[2] = s_even - kS * s_odd;
  out[3] = t_even + kT * t_odd;
  out[4] = t_even - kT * t_odd;
  out[5] = d[1] - (kSSquare + kTSquare) * d[3] + d[5];
}

/// Values at the points of the polynomial with the coefficients v [n], 3 or 4 of them: [n] -> [6]
template <int64_t n, class V>
GEAR_INLINE void evaluate(const V* v, V* out) {
  static_assert(n == 3 || n == 4);
  V s_odd = v[1], t_odd = v[1];
  if constexpr (n == 4) {
    s_odd += kSSquare * v[3];
    t_odd += kTSquare * v[3];
  }
  const V s_even = v[0] + kSSquare * v[2], t_even = v[0] + kTSquare * v[2];
  out[0] = v[0];
  out[1] = s_even + kS * s_odd;
  out[2] = s_even - kS * s_odd;
  out[3] = t_even + kT * t_odd;
  out[4] = t_even - kT * t_odd;
  out[5] = v[n - 1];
}

/// The transpose of evaluate(): [6] -> [n]
template <int64_t n, class V>
GEAR_INLINE void evaluate_transposed(const V* m, V* out) {
  static_assert(n == 3 || n == 4);
  const V s_sum = m[1] + m[2], s_difference = kS * (m[1] - m[2]);
  const V t_sum = m[3] + m[4], t_difference = kT * (m[3] - m[4]);
  out[0] = m[0] + s_sum + t_sum;
  out[1] = s_difference + t_difference;
  out[2] = kSSquare * s_sum + kTSquare * t_sum;
  if constexpr (n == 4) out[3] = kSSquare * s_difference + kTSquare * t_difference;
  out[n - 1] += m[5];
}

template <class V>
GEAR_INLINE void weigh_points(V* values) {
  for (int64_t i : {1, 2}) values[i] *= kSWeight;
  for (int64_t i : {3, 4}) values[i] *= kTWeight;
}

/// G: weights [taps] -> [6]
template <int64_t taps, class V>
GEAR_INLINE void transform_weight(const V* w, V* out) {
  evaluate<taps>(w, out);
  weigh_points(out);
}

/// The transpose of G: gradient of the transformed weights [6] -> of the weights [taps]
template <int64_t taps, class V>
GEAR_INLINE void transform_weight_gradient(const V* u, V* out) {
  V weighted[kInputs] = {u[0], u[1], u[2], u[3], u[4], u[5]};
  weigh_points(weighted);
  evaluate_transposed<taps>(weighted, out);
}

/// At: products [6] -> outputs
template <int64_t taps, class V>
GEAR_INLINE void transform_output(const V* m, V* out) {
  evaluate_transposed<kOutputs<taps>>(m, out);
}

/// The transpose of At: gradient of the outputs -> of the products [6]
template <int64_t taps, class V>
GEAR_INLINE void transform_output_gradient(const V* y, V* out) {
  evaluate<kOutputs<taps>>(y, out);
}

}  // namespace gear::ops::cpu::winograd
