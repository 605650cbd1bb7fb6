#pragma once

// Reductions over the threads of a block, whose number is a multiple of 32. Every thread gets the
// result. The order of the sum is fixed, so the same input gives the same bits.

namespace gear::ops::cuda {

constexpr int kThreads = 256;

struct Add {
  template <class T>
  __device__ T operator()(const T& a, const T& b) const {
    return a + b;
  }
};

template <class T, class Combine>
__device__ T block_reduce(T value, Combine combine, T* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  for (int stride = kThreads / 2; stride > 0; stride /= 2) {
    if (threadIdx.x < stride) {
      shared[threadIdx.x] = combine(shared[threadIdx.x], shared[threadIdx.x + stride]);
    }
    __syncthreads();
  }
  const T result = shared[0];
  __syncthreads();  // the next reduction writes there again
  return result;
}

}  // namespace gear::ops::cuda
