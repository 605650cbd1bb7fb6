#pragma once

#include <ATen/AccumulateType.h>

#include "ops/group_norm_algebra.h"
#include "ops/group_norm_kernels.h"

// B images, C channels in G groups of D, N pixels
// How the kernels of group normalisation divide a map among threads, and what a thread knows.

namespace gear::ops::cuda::group_norm_device {

template <class T>
using ComputeType = at::acc_type<T, /*is_cuda=*/true>;

inline constexpr int kLanes = 32;  // neighbouring elements
inline constexpr int kRows = 8;
inline constexpr int kStepsPerThread = 32;
inline constexpr int kGroupThreads = 64;  // that finish the sums of a group; a power of two

template <bool channels_last>
struct Tile {
  static constexpr int kChannels = channels_last ? kLanes : kRows;
  static constexpr int kPixels = channels_last ? kRows : kLanes;  // at once
  static constexpr int kChunk = kPixels * kStepsPerThread;
};

struct Shape {
  explicit Shape(const GroupNormCall& call)
      : images(call.x.size(0)),
        channels(call.x.size(1)),
        groups(call.options.groups),
        per_group(channels / groups),
        pixels(call.x.size(2) * call.x.size(3)) {}

  __host__ __device__ double group_size() const { return static_cast<double>(per_group * pixels); }

  int64_t images, channels, groups, per_group, pixels;
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

/// What belongs to a channel: parameters [C] or null, moments [B, G].
template <class F>
struct Channels {
  __device__ GroupMoments moments(int64_t row) const {  // row of [B, C]
    return {mean[row / per_group], rstd[row / per_group]};
  }
  __device__ double weight_at(int64_t row) const {
    return weight ? static_cast<double>(weight[row % channels]) : 1.0;
  }
  __device__ double bias_at(int64_t row) const {
    return bias ? static_cast<double>(bias[row % channels]) : 0.0;
  }
  __device__ ChannelAffine<F> affine(int64_t row) const {
    return channel_affine<F>(moments(row), weight_at(row), bias_at(row));
  }

  int64_t channels, per_group;
  const double *mean, *rstd;
  const F *weight, *bias;
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

}  // namespace gear::ops::cuda::group_norm_device
