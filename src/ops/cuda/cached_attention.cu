#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/BFloat16.h>

#include "ops/cached_attention_kernels.h"
#include "ops/cuda/block_reduce.cuh"

// R rows, H heads, H_kv key/value heads, d head width, S capacity, n positions attended to
//
// A thread block owns one row and one head of queries and reads its keys and values once: a warp a
// key at a time with neighbouring lanes on neighbouring channels, then a thread a channel of the
// values. The scores stay in shared memory (S floats). The new key and value are made anew by every
// head that shares them, so that none waits for another; the first of them writes the cache.

namespace gear::ops {
namespace {

using cuda::Add;
using cuda::block_reduce;
using cuda::kThreads;

constexpr int kWarp = 32;

struct Larger {
  __device__ float operator()(float a, float b) const { return a > b ? a : b; }
};

template <class T>
struct Cache {
  T* keys;  // [R, H_kv, S, d]
  T* values;
  const float* rotary;  // [n, d / 2, 2]
  const bool* visible;  // [R, ...] or null
  int64_t visible_stride;
};

__device__ float rotated(const float* x, const float* table, int64_t c) {
  const int64_t even = c / 2 * 2;
  const float cosine = table[even], sine = table[even + 1];
  return c == even ? x[even] * cosine - x[even + 1] * sine : x[even + 1] * cosine + x[even] * sine;
}

/// The cached number: rounded to T.
template <class T>
__device__ float kept(float value) {
  return static_cast<float>(static_cast<T>(value));
}

template <class T>
__global__ void attention_kernel(const float* qkv, const int64_t* position, Cache<T> cache,
                                 HeadSizes sizes, float* out) {
  extern __shared__ float memory[];
  __shared__ float shared[kThreads];
  const int64_t width = sizes.width, last = *position;
  float* query = memory;        // [d]
  float* key = memory + width;  // [d], of the last position
  float* scores = key + width;  // [n]
  const int64_t row = blockIdx.x / sizes.heads, head = blockIdx.x % sizes.heads;
  const int64_t group = sizes.heads / sizes.kv_heads, kv_head = head / group;
  const float* own = qkv + row * (sizes.heads + 2 * sizes.kv_heads) * width;
  const float* new_key = own + (sizes.heads + kv_head) * width;
  const float* new_value = new_key + sizes.kv_heads * width;
  const float* table = cache.rotary + last * width;
  const int64_t start = (row * sizes.kv_heads + kv_head) * sizes.capacity * width;

  for (int64_t c = threadIdx.x; c < width; c += kThreads) {
    query[c] = rotated(own + head * width, table, c) * rsqrtf(static_cast<float>(width));
    key[c] = kept<T>(rotated(new_key, table, c));
    if (head % group != 0) continue;
    cache.keys[start + last * width + c] = static_cast<T>(key[c]);
    cache.values[start + last * width + c] = static_cast<T>(new_value[c]);
  }
  __syncthreads();

  const int lane = threadIdx.x % kWarp;
  for (int64_t i = threadIdx.x / kWarp; i <= last; i += kThreads / kWarp) {
    float sum = 0.0F;
    for (int64_t c = lane; c < width; c += kWarp) {
      const float k = i == last ? key[c] : static_cast<float>(cache.keys[start + i * width + c]);
      sum += query[c] * k;
    }
    for (int other = kWarp / 2; other > 0; other /= 2) {
      sum += __shfl_xor_sync(0xffffffffU, sum, other);
    }
    const bool hidden = cache.visible != nullptr && !cache.visible[row * cache.visible_stride + i];
    if (lane == 0) scores[i] = hidden ? -INFINITY : sum;
  }
  __syncthreads();

  float most = -INFINITY;
  for (int64_t i = threadIdx.x; i <= last; i += kThreads) most = Larger()(most, scores[i]);
  most = block_reduce(most, Larger(), shared);
  float total = 0.0F;
  for (int64_t i = threadIdx.x; i <= last; i += kThreads) {
    scores[i] = expf(scores[i] - most);
    total += scores[i];
  }
  total = block_reduce(total, Add(), shared);

  for (int64_t c = threadIdx.x; c < width; c += kThreads) {
    float sum = scores[last] * kept<T>(new_value[c]);
    for (int64_t i = 0; i < last; ++i) {
      sum += scores[i] * static_cast<float>(cache.values[start + i * width + c]);
    }
    out[(row * sizes.heads + head) * width + c] = sum / total;
  }
}

template <class T>
void launch(const Tensor& qkv, const Tensor& position, const CachedKeys& cache,
            const HeadSizes& sizes, const Tensor& out) {
  const bool some_hidden = cache.visible.defined();
  const Cache<T> pointers = {cache.keys.mutable_data_ptr<T>(), cache.values.mutable_data_ptr<T>(),
                             cache.rotary.const_data_ptr<float>(),
                             some_hidden ? cache.visible.const_data_ptr<bool>() : nullptr,
                             some_hidden ? cache.visible.stride(0) : 0};
  const auto blocks = static_cast<unsigned int>(sizes.rows * sizes.heads);
  const auto bytes = static_cast<size_t>(2 * sizes.width + sizes.capacity) * sizeof(float);
  attention_kernel<T><<<blocks, kThreads, bytes, c10::cuda::getCurrentCUDAStream()>>>(
      qkv.const_data_ptr<float>(), position.const_data_ptr<int64_t>(), pointers, sizes,
      out.mutable_data_ptr<float>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

void attend(const Tensor& qkv, const Tensor& position, const CachedKeys& cache,
            const HeadSizes& sizes, const Tensor& out) {
  if (cache.keys.scalar_type() == at::kFloat) {
    launch<float>(qkv, position, cache, sizes, out);
  } else {
    launch<c10::BFloat16>(qkv, position, cache, sizes, out);
  }
}

}  // namespace

const CachedAttentionKernels kCudaCachedAttention = {attend};

}  // namespace gear::ops
