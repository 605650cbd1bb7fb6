#pragma once

#include <cstdint>

#include "gear/ops/group_norm.h"
#include "ops/cpu/channel_blocks.h"
#include "ops/cpu/dispatch.h"
#include "ops/cpu/vector_math.h"

// C channels
// The four loops of group normalisation, each over one block.

namespace gear::ops::cpu {

/// The normalisation of one image, by channel: (x - centre) * scale + shift.
template <class F>
struct Affine {
  const F* centre;  // [C]
  const F* scale;   // [C]
  const F* shift;   // [C]
};

template <Layout layout>
GEAR_INLINE int64_t channel_at(int64_t row, int64_t i) {
  return layout == Layout::kChannelsLast ? i : row;
}

template <Activation activation, class F>
GEAR_INLINE F activate(F h) {
  if constexpr (activation == Activation::kSilu) return h / (F{1} + vector_exp(-h));
  return h;
}

/// grad * activation'(h)
template <Activation activation, class F>
GEAR_INLINE F activation_gradient(F grad, F h) {
  if constexpr (activation == Activation::kSilu) {
    const F s = sigmoid(h);
    return grad * s * (F{1} + h * (F{1} - s));
  }
  return grad;
}

/// What the moments of one image contribute to its gradient, by channel: offset + slope * (x -
/// centre).
template <class F>
struct Line {
  const F* offset;  // [C]
  const F* slope;   // [C]
};

/// Two values of one element that are summed by channel.
struct Pair {
  double first = 0.0;
  double second = 0.0;
};

/// Adds values(offset of the element, channel) over a block to first[C] and second[C]. In
/// channels-last several rows share one round trip of the sums through memory.
template <Layout layout, class Values>
GEAR_INLINE void add_by_channel(const ChannelBlock& block, double* first, double* second,
                                const Values& values) {
  if constexpr (layout == Layout::kChannelsFirst) {
    for (int64_t row = 0; row < block.rows; ++row) {
      double a = 0.0, b = 0.0;
#pragma omp simd reduction(+ : a, b)
      for (int64_t i = 0; i < block.width; ++i) {
        const Pair pair = values(row * block.stride + i, row);
        a += pair.first;
        b += pair.second;
      }
      first[row] += a;
      second[row] += b;
    }
  } else {
    constexpr int64_t kRows = 4;
    int64_t row = 0;
    for (; row + kRows <= block.rows; row += kRows) {
#pragma omp simd
      for (int64_t i = 0; i < block.width; ++i) {
        Pair sum;
#pragma GCC unroll 4
        for (int64_t r = 0; r < kRows; ++r) {
          const Pair pair = values((row + r) * block.stride + i, i);
          sum.first += pair.first;
          sum.second += pair.second;
        }
        first[i] += sum.first;
        second[i] += sum.second;
      }
    }
    for (; row < block.rows; ++row) {
#pragma omp simd
      for (int64_t i = 0; i < block.width; ++i) {
        const Pair pair = values(row * block.stride + i, i);
        first[i] += pair.first;
        second[i] += pair.second;
      }
    }
  }
}

/// Adds the sums of x - origin and of its square, by channel.
template <Layout layout, class T>
GEAR_VECTOR_CLONES void add_moments(const T* x, const ChannelBlock& block, const double* origin,
                                    double* sum, double* square) {
  add_by_channel<layout>(
      block, sum, square, [=](int64_t at, int64_t c) __attribute__((always_inline)) {
        const double value = widen(x[at]) - origin[c];
        return Pair{value, value * value};
      });
}

template <Layout layout, Activation activation, class T>
GEAR_VECTOR_CLONES void normalise(const T* x, const ChannelBlock& block, Affine<ComputeType<T>> p,
                                  T* y) {
  for (int64_t row = 0; row < block.rows; ++row) {
    const int64_t start = row * block.stride;
#pragma omp simd
    for (int64_t i = 0; i < block.width; ++i) {
      const int64_t c = channel_at<layout>(row, i);
      const auto h = (widen(x[start + i]) - p.centre[c]) * p.scale[c] + p.shift[c];
      y[start + i] = narrow<T>(activate<activation>(h));
    }
  }
}

/// With g the gradient of the input of the activation: adds the sums of g and of g * (x - centre).
template <Layout layout, Activation activation, class T>
GEAR_VECTOR_CLONES void add_gradient_sums(const T* x, const T* grad, const ChannelBlock& block,
                                          Affine<ComputeType<T>> p, double* sum, double* product) {
  add_by_channel<layout>(
      block, sum, product, [=](int64_t at, int64_t c) __attribute__((always_inline)) {
        const auto centred = widen(x[at]) - p.centre[c];
        const auto g =
            activation_gradient<activation>(widen(grad[at]), centred * p.scale[c] + p.shift[c]);
        return Pair{g, static_cast<double>(g) * centred};
      });
}

/// g * scale - (offset + slope * (x - centre)), with g as above.
template <Layout layout, Activation activation, class T>
GEAR_VECTOR_CLONES void input_gradient(const T* x, const T* grad, const ChannelBlock& block,
                                       Affine<ComputeType<T>> p, Line<ComputeType<T>> line,
                                       T* grad_x) {
  for (int64_t row = 0; row < block.rows; ++row) {
    const int64_t start = row * block.stride;
#pragma omp simd
    for (int64_t i = 0; i < block.width; ++i) {
      const int64_t c = channel_at<layout>(row, i);
      const auto centred = widen(x[start + i]) - p.centre[c];
      const auto g = activation_gradient<activation>(widen(grad[start + i]),
                                                     centred * p.scale[c] + p.shift[c]);
      grad_x[start + i] = narrow<T>(g * p.scale[c] - (line.offset[c] + line.slope[c] * centred));
    }
  }
}

}  // namespace gear::ops::cpu
