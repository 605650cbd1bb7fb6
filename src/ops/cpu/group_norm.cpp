#include <ATen/Dispatch.h>
#include <ATen/ops/empty_like.h>

#include "ops/cpu/channel_blocks.h"
#include "ops/cpu/group_norm_loops.h"
#include "ops/group_norm_kernels.h"

// B images, C channels

namespace gear::ops::cpu {
namespace {

/// Row `k` of image `b` in a table [K, B, C].
template <class F>
const F* row_of(const Tensor& table, int64_t k, int64_t b) {
  return table.const_data_ptr<F>() + (k * table.size(1) + b) * table.size(2);
}

template <class F>
Affine<F> affine_of(const Tensor& table, int64_t b) {
  return {row_of<F>(table, 0, b), row_of<F>(table, 1, b), row_of<F>(table, 2, b)};
}

/// The kernels for one type of element, memory format and activation.
template <class T, Layout layout, Activation activation>
struct Kernels {
  using F = ComputeType<T>;

  static Tensor moments(const Tensor& map, const Tensor& origin) {
    const T* x = map.const_data_ptr<T>();
    const double* origins = origin.const_data_ptr<double>();
    return ChannelBlocks<layout>(map).sums(
        [&](const ChannelBlock& at, double* sum, double* square) {
          add_moments<layout>(x + at.offset, at, origins + at.image * map.size(1), sum, square);
        });
  }

  static Tensor normalise(const Tensor& map, const Tensor& affine) {
    auto result = at::empty_like(map);
    const T* x = map.const_data_ptr<T>();
    T* y = result.template mutable_data_ptr<T>();
    ChannelBlocks<layout>(map).for_each([&](const ChannelBlock& at) {
      cpu::normalise<layout, activation>(x + at.offset, at, affine_of<F>(affine, at.image),
                                         y + at.offset);
    });
    return result;
  }

  static Tensor gradient_sums(const Tensor& map, const Tensor& grad, const Tensor& affine) {
    const T* x = map.const_data_ptr<T>();
    const T* dy = grad.const_data_ptr<T>();
    return ChannelBlocks<layout>(map).sums(
        [&](const ChannelBlock& at, double* sum, double* product) {
          add_gradient_sums<layout, activation>(x + at.offset, dy + at.offset, at,
                                                affine_of<F>(affine, at.image), sum, product);
        });
  }

  static Tensor input_gradient(const Tensor& map, const Tensor& grad, const Tensor& affine,
                               const Tensor& line) {
    auto result = at::empty_like(map);
    const T* x = map.const_data_ptr<T>();
    const T* dy = grad.const_data_ptr<T>();
    T* dx = result.template mutable_data_ptr<T>();
    ChannelBlocks<layout>(map).for_each([&](const ChannelBlock& at) {
      const Line<F> through = {row_of<F>(line, 0, at.image), row_of<F>(line, 1, at.image)};
      cpu::input_gradient<layout, activation>(x + at.offset, dy + at.offset, at,
                                              affine_of<F>(affine, at.image), through,
                                              dx + at.offset);
    });
    return result;
  }
};

/// Calls body with the Kernels that fit.
template <class Body>
Tensor dispatch(const Tensor& map, Activation activation, const Body& body) {
  const bool last = !map.is_contiguous(), silu = activation == Activation::kSilu;
  return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, map.scalar_type(), "group_norm", [&] {
    using enum Layout;
    using enum Activation;
    if (last) {
      return silu ? body(Kernels<scalar_t, kChannelsLast, kSilu>())
                  : body(Kernels<scalar_t, kChannelsLast, kNone>());
    }
    return silu ? body(Kernels<scalar_t, kChannelsFirst, kSilu>())
                : body(Kernels<scalar_t, kChannelsFirst, kNone>());
  });
}

Tensor moments(const Tensor& x, const Tensor& origin) {
  return dispatch(x, Activation::kNone, [&](auto kernels) { return kernels.moments(x, origin); });
}

Tensor normalise(const Tensor& x, const Tensor& affine, Activation activation) {
  return dispatch(x, activation, [&](auto kernels) { return kernels.normalise(x, affine); });
}

Tensor gradient_sums(const Tensor& x, const Tensor& grad, const Tensor& affine,
                     Activation activation) {
  return dispatch(x, activation,
                  [&](auto kernels) { return kernels.gradient_sums(x, grad, affine); });
}

Tensor input_gradient(const Tensor& x, const Tensor& grad, const Tensor& affine, const Tensor& line,
                      Activation activation) {
  return dispatch(x, activation,
                  [&](auto kernels) { return kernels.input_gradient(x, grad, affine, line); });
}

}  // namespace

const GroupNormKernels& group_norm_kernels() {
  static const GroupNormKernels kernels = {.moments = moments,
                                           .normalise = normalise,
                                           .gradient_sums = gradient_sums,
                                           .input_gradient = input_gradient};
  return kernels;
}

}  // namespace gear::ops::cpu
