#pragma once

#include <cstdint>

#include "ops/cpu/matrix_product.h"
#include "ops/cpu/winograd_transform.h"

// C channels in, K channels out, D depth of a product and N its columns

namespace gear::ops::cpu::winograd {

/// Weights [K, C, taps, taps] as the second factors of 36 products, [D, N] each.
///   forward   D = C, N = K
///   backward  D = K, N = C, and the taps turned by half a circle: the gradient of the input of a
///             convolution is a convolution of the gradient of its output
struct Weights {
  const float* data;
  int64_t in, out;  // C, K
  bool backward;

  int64_t depth() const { return backward ? out : in; }
  int64_t columns() const { return backward ? in : out; }
};

/// Columns [n, n + panel) of the factors: factor i at panels + i * factor_stride, [D, panel].
template <int64_t lanes, int64_t taps>
GEAR_INLINE void transform_weights(const Weights& weights, int64_t n, float* panels,
                                   int64_t factor_stride) {
  using V = Vector<lanes>;
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns, kArea = taps * taps;
  const int64_t d_stride = (weights.backward ? weights.in : 1) * kArea;
  const int64_t n_stride = (weights.backward ? 1 : weights.in) * kArea;
  for (int64_t d = 0; d < weights.depth(); ++d) {
    const float* from = weights.data + d * d_stride + n * n_stride;
    float tap[kArea][kPanel];
    for (int64_t l = 0; l < kPanel; ++l) {
      for (int64_t i = 0; i < kArea; ++i) {
        tap[weights.backward ? kArea - 1 - i : i][l] = from[l * n_stride + i];
      }
    }
    for (int64_t l = 0; l < kPanel; l += lanes) {
      V half[kInputs][taps];
      for (int64_t j = 0; j < taps; ++j) {
        V column[taps], out[kInputs];
        for (int64_t i = 0; i < taps; ++i) column[i] = load<lanes>(&tap[taps * i + j][l]);
        transform_weight<taps>(column, out);
        for (int64_t i = 0; i < kInputs; ++i) half[i][j] = out[i];
      }
      float* to = panels + d * kPanel + l;
      for (int64_t i = 0; i < kInputs; ++i) {
        V out[kInputs];
        transform_weight<taps>(half[i], out);
        for (int64_t j = 0; j < kInputs; ++j) store(to + (i * kInputs + j) * factor_stride, out[j]);
      }
    }
  }
}

/// From the gradients of the factors, [36, rows, panel] for channels [c, c + rows) and
/// [k, k + panel), to that of the weights, grad [K, C, taps, taps]; or adds to it.
template <int64_t lanes, int64_t taps>
GEAR_INLINE void gather_gradient(const float* factors, int64_t rows, int64_t in, int64_t c,
                                 int64_t k, bool add, float* grad) {
  using V = Vector<lanes>;
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns, kArea = taps * taps;
  for (int64_t row = 0; row < rows; ++row) {
    float tap[kArea][kPanel];
    for (int64_t l = 0; l < kPanel; l += lanes) {
      const float* from = factors + row * kPanel + l;
      V half[taps][kInputs];
      for (int64_t j = 0; j < kInputs; ++j) {
        V column[kInputs], out[taps];
        for (int64_t i = 0; i < kInputs; ++i) {
          column[i] = load<lanes>(from + (i * kInputs + j) * rows * kPanel);
        }
        transform_weight_gradient<taps>(column, out);
        for (int64_t i = 0; i < taps; ++i) half[i][j] = out[i];
      }
      for (int64_t i = 0; i < taps; ++i) {
        V out[taps];
        transform_weight_gradient<taps>(half[i], out);
        for (int64_t j = 0; j < taps; ++j) store(&tap[taps * i + j][l], out[j]);
      }
    }
    for (int64_t l = 0; l < kPanel; ++l) {
      float* to = grad + ((k + l) * in + c + row) * kArea;
      for (int64_t i = 0; i < kArea; ++i) to[i] = add ? to[i] + tap[i][l] : tap[i][l];
    }
  }
}

}  // namespace gear::ops::cpu::winograd
