#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <utility>
#include <vector>

#include "ops/cpu/channel_blocks.h"
#include "ops/cpu/group_norm_loops.h"
#include "ops/cpu/group_norm_tables.h"

// B images, C channels in G groups, N pixels
// Two passes over the map each way: sums by channel, then the elementwise part.

namespace gear::ops::cpu {
namespace {

GroupNormMoments empty_moments(const GroupNormCall& call) {
  const int64_t images = call.x.size(0), groups = call.options.groups;
  return {.mean = at::empty({images, groups}, at::kDouble),
          .rstd = at::empty({images, groups}, at::kDouble)};
}

/// Gradients of weight and bias, from the sums by channel of g and of g * (x - centre), [B, C]
/// each.
template <class F>
GroupNormGradients parameter_gradients(const GroupNormChannels<F>& call, const double* sums,
                                       const double* products) {
  GroupNormGradients found = {.x = {},
                              .weight = at::zeros({call.channels}, at::kDouble),
                              .bias = at::zeros({call.channels}, at::kDouble)};
  double* weight = found.weight.mutable_data_ptr<double>();
  double* bias = found.bias.mutable_data_ptr<double>();
  for (int64_t i = 0; i < call.count; ++i) {
    weight[i % call.channels] += weight_gradient<F>(call.moments(i), sums[i], products[i]);
    bias[i % call.channels] += sums[i];
  }
  return found;
}

/// The kernels for one type of element, memory format and activation.
template <class T, Layout layout, Activation activation>
struct Kernels {
  using F = ComputeType<T>;

  /// The first value of its group for every channel, [B, C].
  static std::vector<double> origins(const GroupNormCall& call) {
    const T* x = call.x.const_data_ptr<T>();
    const int64_t channels = call.x.size(1), pixels = call.x.size(2) * call.x.size(3);
    const int64_t per_group = channels / call.options.groups;
    const int64_t channel_stride = layout == Layout::kChannelsLast ? 1 : pixels;
    std::vector<double> found(call.x.size(0) * channels);
    for (size_t i = 0; i < found.size(); ++i) {
      const int64_t b = static_cast<int64_t>(i) / channels, c = static_cast<int64_t>(i) % channels;
      found[i] = widen(x[b * channels * pixels + (c - c % per_group) * channel_stride]);
    }
    return found;
  }

  static GroupNormMoments moments(const GroupNormCall& call) {
    const T* x = call.x.const_data_ptr<T>();
    const auto origin = origins(call);
    const auto sums = ChannelBlocks<layout>(call.x).sums(
        [&](const ChannelBlock& at, double* sum, double* square) {
          add_moments<layout>(x + at.offset, at, &origin[at.image * call.x.size(1)], sum, square);
        });
    const auto count = static_cast<int64_t>(origin.size());
    const double* sum = sums.template const_data_ptr<double>();
    const double* square = sum + count;

    auto found = empty_moments(call);
    double* mean = found.mean.mutable_data_ptr<double>();
    double* rstd = found.rstd.mutable_data_ptr<double>();
    const int64_t per_group = call.x.size(1) / call.options.groups;
    const double size = static_cast<double>(per_group * call.x.size(2) * call.x.size(3));
    for (int64_t i = 0; i < count; i += per_group) {
      double group_sum = 0.0, group_square = 0.0;
      for (int64_t d = 0; d < per_group; ++d) {
        group_sum += sum[i + d];
        group_square += square[i + d];
      }
      const auto of_group =
          group_moments(origin[i], group_sum, group_square, size, call.options.eps);
      mean[i / per_group] = of_group.mean;
      rstd[i / per_group] = of_group.rstd;
    }
    return found;
  }

  static Tensor normalised(const GroupNormCall& call, const GroupNormMoments& moments) {
    const AffineTable<F> affine(GroupNormChannels<F>(call, moments));
    Tensor result = at::empty_like(call.x);
    const T* x = call.x.const_data_ptr<T>();
    T* y = result.mutable_data_ptr<T>();
    ChannelBlocks<layout>(call.x).for_each([&](const ChannelBlock& at) {
      normalise<layout, activation>(x + at.offset, at, affine.of_image(at.image), y + at.offset);
    });
    return result;
  }

  static GroupNormResult forward(const GroupNormCall& call) {
    auto found = moments(call);
    auto y = normalised(call, found);
    return {.y = std::move(y), .moments = std::move(found)};
  }

  static GroupNormGradients backward(const GroupNormCall& call, const GroupNormMoments& moments,
                                     const Tensor& grad, bool wants_x) {
    const GroupNormChannels<F> channels(call, moments);
    const AffineTable<F> affine(channels);
    const ChannelBlocks<layout> blocks(call.x);
    const T* x = call.x.const_data_ptr<T>();
    const T* dy = grad.const_data_ptr<T>();
    const auto sums = blocks.sums([&](const ChannelBlock& at, double* sum, double* product) {
      add_gradient_sums<layout, activation>(x + at.offset, dy + at.offset, at,
                                            affine.of_image(at.image), sum, product);
    });
    const double* sum = sums.template const_data_ptr<double>();
    const double* product = sum + channels.count;
    auto found = parameter_gradients(channels, sum, product);
    if (!wants_x) return found;

    const CorrectionTable<F> correction(channels, sum, product);
    found.x = at::empty_like(call.x);
    T* dx = found.x.template mutable_data_ptr<T>();
    blocks.for_each([&](const ChannelBlock& at) {
      input_gradient<layout, activation>(x + at.offset, dy + at.offset, at,
                                         affine.of_image(at.image), correction.of_image(at.image),
                                         dx + at.offset);
    });
    return found;
  }
};

/// Calls body with the Kernels for `call`.
template <class Body>
auto dispatch(const GroupNormCall& call, const Body& body) {
  const bool last = !call.x.is_contiguous();
  const bool silu = call.options.activation == Activation::kSilu;
  return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, call.x.scalar_type(), "group_norm", [&] {
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

GroupNormResult forward(const GroupNormCall& call) {
  return dispatch(call, [&](auto kernels) { return kernels.forward(call); });
}

Tensor normalise_again(const GroupNormCall& call, const GroupNormMoments& moments) {
  return dispatch(call, [&](auto kernels) { return kernels.normalised(call, moments); });
}

GroupNormGradients backward(const GroupNormCall& call, const GroupNormMoments& moments,
                            const Tensor& grad, bool wants_x) {
  return dispatch(call,
                  [&](auto kernels) { return kernels.backward(call, moments, grad, wants_x); });
}

}  // namespace

const GroupNormKernels& group_norm_kernels() {
  static const GroupNormKernels kernels = {
      .forward = forward, .normalise = normalise_again, .backward = backward};
  return kernels;
}

}  // namespace gear::ops::cpu
