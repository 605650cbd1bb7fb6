#include <ATen/AccumulateType.h>
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "ops/group_norm_kernels.h"

// B images, C channels, N pixels
//
// One block owns kTileChannels channels of a chunk of pixels of one image, and one thread one of
// these channels, so it reads what belongs to the channel once. Neighbouring threads touch
// neighbouring elements: of the channels in channels-last, of the pixels otherwise. The sums read
// the map (and the gradient) once and write two numbers for each channel and chunk, which are added
// in their order; the elementwise kernels read the map (and the gradient) once and write the
// result.

namespace gear::ops::cuda {
namespace {

constexpr int kLanes = 32;  // neighbouring elements
constexpr int kRows = 8;
constexpr int kStepsPerThread = 32;

template <bool channels_last>
struct Tile {
  static constexpr int kChannels = channels_last ? kLanes : kRows;
  static constexpr int kPixels = channels_last ? kRows : kLanes;  // at once
  static constexpr int kChunk = kPixels * kStepsPerThread;
};

struct Shape {
  explicit Shape(const Tensor& x)
      : images(x.size(0)), channels(x.size(1)), pixels(x.size(2) * x.size(3)) {}

  int64_t images, channels, pixels;
};

template <bool channels_last>
dim3 grid_of(const Shape& shape) {
  using T = Tile<channels_last>;
  const int64_t chunks = (shape.pixels + T::kChunk - 1) / T::kChunk;
  const int64_t tiles = (shape.channels + T::kChannels - 1) / T::kChannels;
  return dim3(static_cast<unsigned>(chunks), static_cast<unsigned>(tiles),
              static_cast<unsigned>(shape.images));
}

/// The part of one thread: a channel (outside of the map: none) and every kPixels-th pixel of a
/// chunk.
template <bool channels_last>
struct Part {
  using T = Tile<channels_last>;

  __device__ explicit Part(const Shape& shape)
      : shape(shape),
        image(blockIdx.z),
        channel(int64_t{blockIdx.y} * T::kChannels + (channels_last ? threadIdx.x : threadIdx.y)) {}

  __device__ bool inside() const { return channel < shape.channels; }
  __device__ int64_t row() const { return image * shape.channels + channel; }  // of [B, C]

  /// Calls body with the offset of each element.
  template <class Body>
  __device__ void for_each(const Body& body) const {
    if (!inside()) return;
    const int64_t begin = int64_t{blockIdx.x} * T::kChunk;
    const int64_t end = min(begin + T::kChunk, shape.pixels);
    const int64_t pixel_stride = channels_last ? shape.channels : 1;
    const int64_t start =
        channels_last ? image * shape.pixels * shape.channels + channel : row() * shape.pixels;
    for (int64_t n = begin + (channels_last ? threadIdx.y : threadIdx.x); n < end;
         n += T::kPixels) {
      body(start + n * pixel_stride);
    }
  }

  Shape shape;
  int64_t image, channel;
};

/// Adds up the pairs of the threads that share a channel, in the order of the threads, and writes
/// the sums to parts [2, B, chunks, C].
template <bool channels_last, class F>
__device__ void store_sums(const Part<channels_last>& part, F first, F second, double* parts) {
  __shared__ F sums[2][kRows][kLanes];
  sums[0][threadIdx.y][threadIdx.x] = first;
  sums[1][threadIdx.y][threadIdx.x] = second;
  __syncthreads();
  if (!part.inside() || (channels_last ? threadIdx.y : threadIdx.x) != 0) return;
  const int64_t chunks = gridDim.x;
  const int64_t at = (part.image * chunks + blockIdx.x) * part.shape.channels + part.channel;
  for (int which = 0; which < 2; ++which) {
    double sum = 0.0;
    for (int k = 0; k < Tile<channels_last>::kPixels; ++k) {
      sum += channels_last ? sums[which][k][threadIdx.x] : sums[which][threadIdx.y][k];
    }
    parts[which * part.shape.images * chunks * part.shape.channels + at] = sum;
  }
}

/// The normalisation of one channel of one image.
template <class F>
struct Affine {
  __device__ Affine(const F* table, const Shape& shape, int64_t row)
      : centre(table[row]),
        scale(table[shape.images * shape.channels + row]),
        shift(table[2 * shape.images * shape.channels + row]) {}

  F centre, scale, shift;
};

template <bool silu, class F>
__device__ F activate(F h) {
  return silu ? h / (F(1) + ::exp(-h)) : h;
}

/// grad * activation'(h)
template <bool silu, class F>
__device__ F activation_gradient(F grad, F h) {
  if (!silu) return grad;
  const F s = F(1) / (F(1) + ::exp(-h));
  return grad * s * (F(1) + h * (F(1) - s));
}

template <class T>
using ComputeType = at::acc_type<T, /*is_cuda=*/true>;

template <class T, bool channels_last>
__global__ void moments_kernel(Shape shape, const T* x, const double* origins, double* parts) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  // An origin is a value of the map, so it is exact in F.
  const F origin = part.inside() ? static_cast<F>(origins[part.row()]) : F(0);
  F sum = 0, square = 0;
  part.for_each([&](int64_t i) {
    const F value = static_cast<F>(x[i]) - origin;
    sum += value;
    square += value * value;
  });
  store_sums(part, sum, square, parts);
}

template <class T, bool channels_last, bool silu>
__global__ void normalise_kernel(Shape shape, const T* x, const ComputeType<T>* table, T* y) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  if (!part.inside()) return;
  const Affine<F> p(table, shape, part.row());
  part.for_each([&](int64_t i) {
    const F h = (static_cast<F>(x[i]) - p.centre) * p.scale + p.shift;
    y[i] = static_cast<T>(activate<silu>(h));
  });
}

template <class T, bool channels_last, bool silu>
__global__ void gradient_sums_kernel(Shape shape, const T* x, const T* grad,
                                     const ComputeType<T>* table, double* parts) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  F sum = 0, product = 0;
  if (part.inside()) {
    const Affine<F> p(table, shape, part.row());
    part.for_each([&](int64_t i) {
      const F centred = static_cast<F>(x[i]) - p.centre;
      const F g = activation_gradient<silu>(static_cast<F>(grad[i]), centred * p.scale + p.shift);
      sum += g;
      product += g * centred;
    });
  }
  store_sums(part, sum, product, parts);
}

template <class T, bool channels_last, bool silu>
__global__ void input_gradient_kernel(Shape shape, const T* x, const T* grad,
                                      const ComputeType<T>* table, const ComputeType<T>* line,
                                      T* grad_x) {
  using F = ComputeType<T>;
  const Part<channels_last> part(shape);
  if (!part.inside()) return;
  const Affine<F> p(table, shape, part.row());
  const F offset = line[part.row()], slope = line[shape.images * shape.channels + part.row()];
  part.for_each([&](int64_t i) {
    const F centred = static_cast<F>(x[i]) - p.centre;
    const F g = activation_gradient<silu>(static_cast<F>(grad[i]), centred * p.scale + p.shift);
    grad_x[i] = static_cast<T>(g * p.scale - (offset + slope * centred));
  });
}

template <class T, bool channels_last, bool silu>
struct Launch {
  using F = ComputeType<T>;

  explicit Launch(const Tensor& x)
      : guard(x.device()), shape(x), grid(grid_of<channels_last>(shape)), x(x) {}

  Tensor moments(const Tensor& origin) const {
    const auto parts = empty_parts();
    moments_kernel<T, channels_last>
        <<<grid, block, 0, stream>>>(shape, x.const_data_ptr<T>(), origin.const_data_ptr<double>(),
                                     parts.template mutable_data_ptr<double>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return parts.sum(2);
  }

  Tensor normalise(const Tensor& affine) const {
    const auto y = at::empty_like(x);
    normalise_kernel<T, channels_last, silu><<<grid, block, 0, stream>>>(
        shape, x.const_data_ptr<T>(), affine.const_data_ptr<F>(), y.template mutable_data_ptr<T>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
  }

  Tensor gradient_sums(const Tensor& grad, const Tensor& affine) const {
    const auto parts = empty_parts();
    gradient_sums_kernel<T, channels_last, silu><<<grid, block, 0, stream>>>(
        shape, x.const_data_ptr<T>(), grad.const_data_ptr<T>(), affine.const_data_ptr<F>(),
        parts.template mutable_data_ptr<double>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return parts.sum(2);
  }

  Tensor input_gradient(const Tensor& grad, const Tensor& affine, const Tensor& line) const {
    const auto grad_x = at::empty_like(x);
    input_gradient_kernel<T, channels_last, silu><<<grid, block, 0, stream>>>(
        shape, x.const_data_ptr<T>(), grad.const_data_ptr<T>(), affine.const_data_ptr<F>(),
        line.const_data_ptr<F>(), grad_x.template mutable_data_ptr<T>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return grad_x;
  }

  Tensor empty_parts() const {  // [2, B, chunks, C]
    return at::empty({2, shape.images, static_cast<int64_t>(grid.x), shape.channels},
                     x.options().dtype(at::kDouble).memory_format(at::MemoryFormat::Contiguous));
  }

  c10::cuda::CUDAGuard guard;
  c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream();
  Shape shape;
  dim3 grid;
  dim3 block = dim3(kLanes, kRows);
  const Tensor& x;
};

/// Calls body with the Launch that fits.
template <class Body>
Tensor dispatch(const Tensor& x, Activation activation, const Body& body) {
  const bool last = !x.is_contiguous(), silu = activation == Activation::kSilu;
  return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "group_norm", [&] {
    if (last) {
      return silu ? body(Launch<scalar_t, true, true>(x)) : body(Launch<scalar_t, true, false>(x));
    }
    return silu ? body(Launch<scalar_t, false, true>(x)) : body(Launch<scalar_t, false, false>(x));
  });
}

Tensor moments(const Tensor& x, const Tensor& origin) {
  return dispatch(x, Activation::kNone, [&](const auto& launch) { return launch.moments(origin); });
}

Tensor normalise(const Tensor& x, const Tensor& affine, Activation activation) {
  return dispatch(x, activation, [&](const auto& launch) { return launch.normalise(affine); });
}

Tensor gradient_sums(const Tensor& x, const Tensor& grad, const Tensor& affine,
                     Activation activation) {
  return dispatch(x, activation,
                  [&](const auto& launch) { return launch.gradient_sums(grad, affine); });
}

Tensor input_gradient(const Tensor& x, const Tensor& grad, const Tensor& affine, const Tensor& line,
                      Activation activation) {
  return dispatch(x, activation,
                  [&](const auto& launch) { return launch.input_gradient(grad, affine, line); });
}

}  // namespace

const GroupNormKernels& group_norm_kernels() {
  static const GroupNormKernels kernels = {moments, normalise, gradient_sums, input_gradient};
  return kernels;
}

}  // namespace gear::ops::cuda
