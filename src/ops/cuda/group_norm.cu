#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "ops/cuda/group_norm_device.cuh"

// B images, C channels in G groups of D, N pixels
//
// One block owns kChannels channels of a chunk of pixels of one image, and one thread one of these
// channels, so it derives what belongs to the channel once. Neighbouring threads touch neighbouring
// elements: of the channels in channels-last, of the pixels otherwise. The sums read the map (and
// the gradient) once and write two numbers for each channel and chunk; one more block for each
// group adds them in their order. The elementwise kernels read the map (and the gradient) once and
// write the result.

namespace gear::ops::cuda {
namespace {

using namespace group_norm_device;

/// Offset of the first value of the group of a channel.
template <bool channels_last>
__device__ int64_t origin_of(const Shape& shape, int64_t image, int64_t channel) {
  const int64_t first = channel - channel % shape.per_group;
  return image * shape.channels * shape.pixels + first * (channels_last ? 1 : shape.pixels);
}

template <class T, bool channels_last>
__global__ void moments_kernel(Shape shape, const T* x, double* parts) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  F sum = 0, square = 0;
  if (part.inside()) {
    const auto origin =
        static_cast<F>(x[origin_of<channels_last>(shape, part.image, part.channel)]);
    part.for_each([&](int64_t i) {
      const F value = static_cast<F>(x[i]) - origin;
      sum += value;
      square += value * value;
    });
  }
  store_sums(part, sum, square, parts);
}

/// Sum over the chunks of a channel of one image, by all threads of a block; parts [B, chunks, C].
__device__ double sum_of_chunks(const double* parts, int64_t chunks, const Shape& shape,
                                int64_t row) {
  __shared__ double sums[kGroupThreads];
  const int64_t image = row / shape.channels, channel = row % shape.channels;
  double sum = 0.0;
  for (int64_t k = threadIdx.x; k < chunks; k += kGroupThreads) {
    sum += parts[(image * chunks + k) * shape.channels + channel];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = kGroupThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  sum = sums[0];
  __syncthreads();  // before the next sum
  return sum;
}

/// One block a group.
template <class T, bool channels_last>
__global__ void finish_moments_kernel(Shape shape, const T* x, const double* parts, int64_t chunks,
                                      double eps, double* mean, double* rstd) {
  const int64_t group = blockIdx.x;  // of [B, G]
  const double* squares = parts + shape.images * chunks * shape.channels;
  const int64_t begin = group * shape.per_group;
  double sum = 0.0, square = 0.0;
  for (int64_t row = begin; row < begin + shape.per_group; ++row) {
    sum += sum_of_chunks(parts, chunks, shape, row);
    square += sum_of_chunks(squares, chunks, shape, row);
  }
  if (threadIdx.x != 0) return;
  const int64_t origin =
      origin_of<channels_last>(shape, begin / shape.channels, begin % shape.channels);
  const auto moments =
      group_moments(static_cast<ComputeType<T>>(x[origin]), sum, square, shape.group_size(), eps);
  mean[group] = moments.mean;
  rstd[group] = moments.rstd;
}

template <class T, bool channels_last, bool silu>
__global__ void normalise_kernel(Shape shape, const T* x, Channels<ComputeType<T>> channels, T* y) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  if (!part.inside()) return;
  const auto p = channels.affine(part.row());
  part.for_each([&](int64_t i) {
    const F h = (static_cast<F>(x[i]) - p.centre) * p.scale + p.shift;
    y[i] = static_cast<T>(activate<silu>(h));
  });
}

template <class T, bool channels_last, bool silu>
__global__ void gradient_sums_kernel(Shape shape, const T* x, const T* grad,
                                     Channels<ComputeType<T>> channels, double* parts) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  F sum = 0, product = 0;
  if (part.inside()) {
    const auto p = channels.affine(part.row());
    part.for_each([&](int64_t i) {
      const F centred = static_cast<F>(x[i]) - p.centre;
      const F g = activation_gradient<silu>(static_cast<F>(grad[i]), centred * p.scale + p.shift);
      sum += g;
      product += g * centred;
    });
  }
  store_sums(part, sum, product, parts);
}

/// One block a group. Writes what each image adds to the gradients of weight and bias, [2, B, C],
/// and the correction of the group, [B, G].
template <class F>
__global__ void finish_gradients_kernel(Shape shape, Channels<F> channels, const double* parts,
                                        int64_t chunks, double* parameters,
                                        GroupCorrection<F>* corrections) {
  const int64_t group = blockIdx.x;  // of [B, G]
  const double* product_parts = parts + shape.images * chunks * shape.channels;
  const int64_t begin = group * shape.per_group;
  const auto moments = channels.moments(begin);
  double group_sum = 0.0, group_product = 0.0;
  for (int64_t row = begin; row < begin + shape.per_group; ++row) {
    const double sum = sum_of_chunks(parts, chunks, shape, row);
    const double product = sum_of_chunks(product_parts, chunks, shape, row);
    if (threadIdx.x == 0) {
      parameters[row] = weight_gradient<F>(moments, sum, product);
      parameters[shape.images * shape.channels + row] = sum;
    }
    group_sum += channels.weight_at(row) * sum;
    group_product += channels.weight_at(row) * product;
  }
  if (threadIdx.x != 0) return;
  corrections[group] = group_correction<F>(moments, group_sum, group_product, shape.group_size());
}

template <class T, bool channels_last, bool silu>
__global__ void input_gradient_kernel(Shape shape, const T* x, const T* grad,
                                      Channels<ComputeType<T>> channels,
                                      const GroupCorrection<ComputeType<T>>* corrections,
                                      T* grad_x) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  if (!part.inside()) return;
  const auto p = channels.affine(part.row());
  const auto correction = corrections[part.row() / shape.per_group];
  part.for_each([&](int64_t i) {
    const F centred = static_cast<F>(x[i]) - p.centre;
    const F g = activation_gradient<silu>(static_cast<F>(grad[i]), centred * p.scale + p.shift);
    grad_x[i] = static_cast<T>(g * p.scale - (correction.offset + correction.slope * centred));
  });
}

template <class T, bool channels_last, bool silu>
class Launch {
 public:
  using F = ComputeType<T>;

  explicit Launch(const GroupNormCall& call)
      : guard_(call.x.device()),
        call_(call),
        shape_(call),
        grid_(grid_of<channels_last>(shape_)),
        group_grid_(static_cast<unsigned>(shape_.images * shape_.groups)) {}

  GroupNormResult forward() const {
    GroupNormResult result;
    result.moments.mean = empty({shape_.images, shape_.groups}, at::kDouble);
    result.moments.rstd = empty({shape_.images, shape_.groups}, at::kDouble);
    const T* x = call_.x.const_data_ptr<T>();
    const auto parts = empty_parts();
    double* part = parts.template mutable_data_ptr<double>();
    moments_kernel<T, channels_last><<<grid_, block_, 0, stream_>>>(shape_, x, part);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    finish_moments_kernel<T, channels_last><<<group_grid_, kGroupThreads, 0, stream_>>>(
        shape_, x, part, chunks(), call_.options.eps,
        result.moments.mean.template mutable_data_ptr<double>(),
        result.moments.rstd.template mutable_data_ptr<double>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    result.y = normalise(result.moments);
    return result;
  }

  Tensor normalise(const GroupNormMoments& moments) const {
    Tensor y = at::empty_like(call_.x);
    normalise_kernel<T, channels_last, silu><<<grid_, block_, 0, stream_>>>(
        shape_, call_.x.const_data_ptr<T>(), channels(moments), y.template mutable_data_ptr<T>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
  }

  GroupNormGradients backward(const GroupNormMoments& moments, const Tensor& grad,
                              bool wants_x) const {
    const T* x = call_.x.const_data_ptr<T>();
    const T* dy = grad.const_data_ptr<T>();
    const auto parts = empty_parts();
    double* part = parts.template mutable_data_ptr<double>();
    gradient_sums_kernel<T, channels_last, silu>
        <<<grid_, block_, 0, stream_>>>(shape_, x, dy, channels(moments), part);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    const auto parameters = empty({2, shape_.images, shape_.channels}, at::kDouble);
    const auto corrections =
        empty({shape_.images, shape_.groups, 2}, c10::CppTypeToScalarType<F>::value);
    auto* correction =
        reinterpret_cast<GroupCorrection<F>*>(corrections.template mutable_data_ptr<F>());
    finish_gradients_kernel<F><<<group_grid_, kGroupThreads, 0, stream_>>>(
        shape_, channels(moments), part, chunks(), parameters.template mutable_data_ptr<double>(),
        correction);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    const auto sums = parameters.sum(1);  // [2, C]
    GroupNormGradients found;
    found.weight = sums[0];
    found.bias = sums[1];
    if (!wants_x) return found;
    found.x = at::empty_like(call_.x);
    input_gradient_kernel<T, channels_last, silu><<<grid_, block_, 0, stream_>>>(
        shape_, x, dy, channels(moments), correction, found.x.template mutable_data_ptr<T>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return found;
  }

 private:
  int64_t chunks() const { return grid_.x; }

  Tensor empty(at::IntArrayRef sizes, at::ScalarType type) const {
    return at::empty(sizes, call_.x.options().dtype(type));
  }
  Tensor empty_parts() const {
    return empty({2, shape_.images, chunks(), shape_.channels}, at::kDouble);
  }
  Channels<F> channels(const GroupNormMoments& moments) const {
    const auto data = [](const Tensor& parameter) {
      return parameter.defined() ? parameter.const_data_ptr<F>() : nullptr;
    };
    return {shape_.channels,
            shape_.per_group,
            moments.mean.const_data_ptr<double>(),
            moments.rstd.const_data_ptr<double>(),
            data(call_.weight),
            data(call_.bias)};
  }

  c10::cuda::CUDAGuard guard_;
  c10::cuda::CUDAStream stream_ = c10::cuda::getCurrentCUDAStream();
  const GroupNormCall& call_;
  Shape shape_;
  dim3 grid_;
  dim3 group_grid_;
  dim3 block_ = dim3(kLanes, kRows);
};

/// Calls body with the Launch for `call`.
template <class Body>
auto dispatch(const GroupNormCall& call, const Body& body) {
  const bool last = !call.x.is_contiguous();
  const bool silu = call.options.activation == Activation::kSilu;
  return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, call.x.scalar_type(), "group_norm", [&] {
    if (last) {
      return silu ? body(Launch<scalar_t, true, true>(call))
                  : body(Launch<scalar_t, true, false>(call));
    }
    return silu ? body(Launch<scalar_t, false, true>(call))
                : body(Launch<scalar_t, false, false>(call));
  });
}

GroupNormResult forward(const GroupNormCall& call) {
  return dispatch(call, [](const auto& launch) { return launch.forward(); });
}

Tensor normalise(const GroupNormCall& call, const GroupNormMoments& moments) {
  return dispatch(call, [&](const auto& launch) { return launch.normalise(moments); });
}

GroupNormGradients backward(const GroupNormCall& call, const GroupNormMoments& moments,
                            const Tensor& grad, bool wants_x) {
  return dispatch(call,
                  [&](const auto& launch) { return launch.backward(moments, grad, wants_x); });
}

}  // namespace

const GroupNormKernels& group_norm_kernels() {
  static const GroupNormKernels kernels = {forward, normalise, backward};
  return kernels;
}

}  // namespace gear::ops::cuda
