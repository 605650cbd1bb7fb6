#include <ATen/Dispatch.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "ops/cuda/block_reduce.cuh"
#include "ops/linear_cross_entropy_kernels.h"

// R rows, K classes
//
// A thread block owns one row of logits. It reads the row three times (largest, sum, gradient) and
// writes it once; a block of rows is 16 MiB, so from the L2 cache where the product before has just
// written it.

namespace gear::ops {
namespace {

using cuda::Add;
using cuda::block_reduce;
using cuda::kThreads;

struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

/// scale nullptr: losses alone.
template <class T>
__global__ void losses_kernel(T* logits, int64_t classes, const int64_t* targets, T* losses,
                              const T* scale) {
  __shared__ T shared[kThreads];
  T* row = logits + blockIdx.x * classes;
  const int64_t target = targets[blockIdx.x];
  if (target < 0) {  // all threads alike
    if (threadIdx.x == 0) losses[blockIdx.x] = 0;
    for (int64_t k = threadIdx.x; scale != nullptr && k < classes; k += kThreads) row[k] = 0;
    return;
  }
  CUDA_KERNEL_ASSERT(target < classes);
  T most = row[0];
  for (int64_t k = threadIdx.x; k < classes; k += kThreads) most = Larger()(most, row[k]);
  most = block_reduce(most, Larger(), shared);
  T sum = 0;
  for (int64_t k = threadIdx.x; k < classes; k += kThreads) sum += exp(row[k] - most);
  const T log_sum = most + log(block_reduce(sum, Add(), shared));
  if (threadIdx.x == 0) losses[blockIdx.x] = log_sum - row[target];
  if (scale == nullptr) return;
  __syncthreads();  // the logit of the target has been read
  for (int64_t k = threadIdx.x; k < classes; k += kThreads) {
    row[k] = *scale * (exp(row[k] - log_sum) - (k == target ? T{1} : T{0}));
  }
}

template <class T>
void launch(const LogitRows& rows, const T* scale) {
  losses_kernel<T><<<static_cast<unsigned int>(rows.logits.size(0)), kThreads, 0,
                     c10::cuda::getCurrentCUDAStream()>>>(
      rows.logits.mutable_data_ptr<T>(), rows.logits.size(1),
      rows.targets.const_data_ptr<int64_t>(), rows.losses.mutable_data_ptr<T>(), scale);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

const CrossEntropyKernels kCudaCrossEntropy = {
    [](const LogitRows& rows) {
      AT_DISPATCH_FLOATING_TYPES(rows.logits.scalar_type(), "linear_cross_entropy",
                                 [&] { launch<scalar_t>(rows, nullptr); });
    },
    [](const LogitRows& rows, const Tensor& scale) {
      AT_DISPATCH_FLOATING_TYPES(rows.logits.scalar_type(), "linear_cross_entropy",
                                 [&] { launch<scalar_t>(rows, scale.const_data_ptr<scalar_t>()); });
    },
};

}  // namespace gear::ops
