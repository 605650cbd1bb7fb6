#include <ATen/Dispatch.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>

#include "ops/adamw_kernels.h"

// One launch takes up to kTensors tensors, named in its arguments. A block owns a chunk of one of
// them: it reads and writes the parameter, both moments and the average once, and reads the
// gradient once. The factors follow from numbers on the device, so nothing waits.

namespace gear::ops::cuda {
namespace {

constexpr int kTensors = 40;  // the arguments of a launch have room for 4 KiB
constexpr int kThreads = 256;
constexpr int64_t kChunk = int64_t{kThreads} * 32;

template <class F>
struct Group {
  F* parameter[kTensors];
  const F* gradient[kTensors];
  F* exp_avg[kTensors];
  F* exp_avg_sq[kTensors];
  F* average[kTensors];  // or null
  const float* step[kTensors];
  int64_t count[kTensors];
  int first_block[kTensors + 1];
  int tensors;
};

__device__ inline float fused_sum(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double fused_sum(double a, double b, double c) { return __fma_rn(a, b, c); }
__device__ inline float product(float a, float b) { return __fmul_rn(a, b); }
__device__ inline double product(double a, double b) { return __dmul_rn(a, b); }

template <class F>
__global__ void adamw_kernel(Group<F> group, AdamWScalars scalars, const float* gradient_factor) {
  __shared__ AdamWFactors<F> shared;
  int which = 0;
  while (which + 1 < group.tensors && group.first_block[which + 1] <= int(blockIdx.x)) ++which;
  if (threadIdx.x == 0) {
    shared = adamw_factors<F>(scalars, gradient_factor ? double(*gradient_factor) : 1.0,
                              double(*group.step[which]));
  }
  __syncthreads();
  const AdamWFactors<F> f = shared;
  const int64_t begin = int64_t(int(blockIdx.x) - group.first_block[which]) * kChunk;
  const int64_t end = min(begin + kChunk, group.count[which]);
  F* const average = group.average[which];
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    F exp_avg = group.exp_avg[which][i], exp_avg_sq = group.exp_avg_sq[which][i];
    const F value =
        adamw_value(f, group.parameter[which][i], group.gradient[which][i], exp_avg, exp_avg_sq);
    group.exp_avg[which][i] = exp_avg;
    group.exp_avg_sq[which][i] = exp_avg_sq;
    group.parameter[which][i] = value;
    if (average != nullptr) {
      average[i] = fused_sum(f.average_rest, value, product(average[i], f.average));
    }
  }
}

template <class F>
void run(const std::vector<AdamWTensors>& tensors, const AdamWStep& step) {
  const AdamWScalars scalars(step);
  const float* factor =
      step.gradient_factor.defined() ? step.gradient_factor.const_data_ptr<float>() : nullptr;
  const auto stream = c10::cuda::getCurrentCUDAStream();
  for (size_t begin = 0; begin < tensors.size(); begin += kTensors) {
    Group<F> group{};
    int blocks = 0;
    const size_t end = std::min(tensors.size(), begin + kTensors);
    for (size_t i = begin; i < end; ++i) {
      const AdamWTensors& each = tensors[i];
      const int at = group.tensors++;
      group.parameter[at] = each.parameter.mutable_data_ptr<F>();
      group.gradient[at] = each.gradient.const_data_ptr<F>();
      group.exp_avg[at] = each.exp_avg.mutable_data_ptr<F>();
      group.exp_avg_sq[at] = each.exp_avg_sq.mutable_data_ptr<F>();
      group.average[at] = each.average.defined() ? each.average.mutable_data_ptr<F>() : nullptr;
      group.step[at] = each.step.const_data_ptr<float>();
      group.count[at] = each.parameter.numel();
      group.first_block[at] = blocks;
      blocks += static_cast<int>((each.parameter.numel() + kChunk - 1) / kChunk);
    }
    if (blocks == 0) continue;
    adamw_kernel<F><<<blocks, kThreads, 0, stream>>>(group, scalars, factor);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
}

}  // namespace

void adamw(const std::vector<AdamWTensors>& tensors, const AdamWStep& step) {
  const c10::cuda::CUDAGuard guard(tensors.front().parameter.device());
  AT_DISPATCH_FLOATING_TYPES(tensors.front().parameter.scalar_type(), "adamw_",
                             [&] { run<scalar_t>(tensors, step); });
}

}  // namespace gear::ops::cuda
