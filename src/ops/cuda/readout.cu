#include <ATen/Dispatch.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "ops/cuda/block_reduce.cuh"
#include "ops/readout_kernels.h"

// R rows of costs, n columns of them, M temperatures
//
// The matrix products around these kernels are cuBLAS's, on tensor cores; a kernel reads a block or
// tile of costs (8 or 4 MiB, so from the L2 cache where the product has just written it) once or a
// few times and writes it at most once. Except for add_distribution a thread block owns one row,
// and neighbouring threads read neighbouring columns.

namespace gear::ops {
namespace {

using cuda::Add;
using cuda::block_reduce;
using cuda::kThreads;

constexpr int kTops = 4;  // of kTopCounts, 1 first

template <class T>
struct Lowest {
  T cost;
  int64_t id;
};

/// The smaller cost, the lower id of equals.
struct Lower {
  template <class T>
  __device__ Lowest<T> operator()(const Lowest<T>& a, const Lowest<T>& b) const {
    if (a.cost < b.cost || (a.cost == b.cost && a.id < b.id)) return a;
    return b;
  }
};

template <class T>
struct SoftmaxRows {
  const T* lowest;
  const T* normaliser;
  T scale;  // 1 / temperature

  __device__ T weight(int64_t row, T cost) const { return exp((lowest[row] - cost) * scale); }
};

template <class T>
SoftmaxRows<T> rows_of(const RowSoftmax& softmax) {
  return {softmax.lowest.const_data_ptr<T>(), softmax.normaliser.const_data_ptr<T>(),
          static_cast<T>(1.0 / softmax.temperature)};
}

template <class T>
__global__ void lowest_kernel(const T* cost, int64_t codes, T* lowest, int64_t* ids) {
  __shared__ Lowest<T> shared[kThreads];
  const T* row = cost + blockIdx.x * codes;
  Lowest<T> mine{row[0], 0};
  for (int64_t k = threadIdx.x; k < codes; k += kThreads)
    mine = Lower()(mine, Lowest<T>{row[k], k});
  const auto found = block_reduce(mine, Lower(), shared);
  if (threadIdx.x != 0) return;
  lowest[blockIdx.x] = found.cost;
  ids[blockIdx.x] = found.id;
}

template <class T>
__global__ void sums_kernel(const T* cost, int64_t codes, const T* lowest, T scale, T* normaliser,
                            T* entropy) {
  __shared__ T shared[kThreads];
  const T* row = cost + blockIdx.x * codes;
  T weight = 0, weighted = 0;
  for (int64_t k = threadIdx.x; k < codes; k += kThreads) {
    const T exponent = (row[k] - lowest[blockIdx.x]) * scale;
    const T w = exp(-exponent);
    weight += w;
    weighted += w * exponent;
  }
  weight = block_reduce(weight, Add(), shared);
  weighted = block_reduce(weighted, Add(), shared);
  if (threadIdx.x != 0) return;
  normaliser[blockIdx.x] = weight;
  // H = -sum p ln p, and ln p = -(cost - lowest) / temperature - ln normaliser.
  entropy[blockIdx.x] = weighted / weight + log(weight);
}

/// The bits of a number that is not negative have its order.
__device__ uint32_t ordered_bits(float value) { return __float_as_uint(value); }
__device__ uint32_t ordered_bits(double value) {
  return __float_as_uint(static_cast<float>(value));
}

/// The `rank`-th smallest (from 0) of cost - lowest as ordered bits, and how many are smaller. One
/// byte after the other, from the highest, by a histogram of the candidates.
template <class T>
__device__ uint32_t select(const T* row, int64_t codes, T lowest, int64_t rank, int64_t* smaller) {
  __shared__ unsigned int histogram[256];
  __shared__ uint32_t chosen;
  __shared__ int64_t before;
  uint32_t prefix = 0, mask = 0;
  int64_t below = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int bin = threadIdx.x; bin < 256; bin += kThreads) histogram[bin] = 0;
    __syncthreads();
    for (int64_t k = threadIdx.x; k < codes; k += kThreads) {
      const uint32_t bits = ordered_bits(row[k] - lowest);
      if ((bits & mask) == prefix) atomicAdd(&histogram[(bits >> shift) & 255], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int bin = 0;
      int64_t count = below;
      while (bin < 255 && count + histogram[bin] <= rank) count += histogram[bin++];
      chosen = static_cast<uint32_t>(bin) << shift;
      before = count;
    }
    __syncthreads();
    prefix |= chosen;
    mask |= 255u << shift;
    below = before;
    __syncthreads();
  }
  *smaller = below;
  return prefix;
}

/// Probability of the 1, 10, 100 and 1000 nearest at one temperature.
template <class T>
__global__ void top_mass_kernel(const T* cost, int64_t codes, const T* lowest, const T* normaliser,
                                T scale, T* top_mass) {
  __shared__ T shared[kThreads];
  const T* row = cost + blockIdx.x * codes;
  const T least = lowest[blockIdx.x];
  int64_t count = 1;
  for (int top = 0; top < kTops; ++top, count *= 10) {
    int64_t smaller = 0;
    const int64_t wanted = count < codes ? count : codes;
    const uint32_t threshold = select(row, codes, least, wanted - 1, &smaller);
    T sum = 0, at_threshold = 0;
    for (int64_t k = threadIdx.x; k < codes; k += kThreads) {
      const uint32_t bits = ordered_bits(row[k] - least);
      const T w = exp((least - row[k]) * scale);
      if (bits < threshold) sum += w;
      if (bits == threshold) at_threshold = w;
    }
    sum = block_reduce(sum, Add(), shared);
    // Every thread that saw the threshold has the same weight there; others have 0.
    struct Larger {
      __device__ T operator()(T a, T b) const { return a > b ? a : b; }
    };
    at_threshold = block_reduce(at_threshold, Larger(), shared);
    if (threadIdx.x == 0) {
      top_mass[blockIdx.x * kTops + top] =
          (sum + static_cast<T>(wanted - smaller) * at_threshold) / normaliser[blockIdx.x];
    }
  }
}

/// A thread owns one code and adds up its column in the order of the rows.
template <class T>
__global__ void distribution_kernel(const T* cost, int64_t rows, int64_t codes,
                                    SoftmaxRows<T> softmax, T* sum) {
  const int64_t k = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (k >= codes) return;
  T total = 0;
  for (int64_t r = 0; r < rows; ++r) {
    total += softmax.weight(r, cost[r * codes + k]) / softmax.normaliser[r];
  }
  sum[k] += total;
}

template <class T>
__global__ void expectation_kernel(const T* cost, int64_t columns, SoftmaxRows<T> softmax,
                                   const T* values, T* sum) {
  __shared__ T shared[kThreads];
  const T* row = cost + blockIdx.x * columns;
  T total = 0;
  for (int64_t k = threadIdx.x; k < columns; k += kThreads) {
    total += values[k] * softmax.weight(blockIdx.x, row[k]);
  }
  total = block_reduce(total, Add(), shared);
  if (threadIdx.x == 0) sum[blockIdx.x] += total / softmax.normaliser[blockIdx.x];
}

template <class T>
__global__ void assignment_kernel(const T* cost, int64_t columns, SoftmaxRows<T> softmax, T* out) {
  const int64_t r = blockIdx.x;
  const T factor = T{1} / softmax.normaliser[r];
  for (int64_t k = threadIdx.x; k < columns; k += kThreads) {
    out[r * columns + k] = factor * softmax.weight(r, cost[r * columns + k]);
  }
}

template <class T>
__global__ void assignment_gradient_kernel(const T* cost, int64_t columns, SoftmaxRows<T> softmax,
                                           const T* mean, T* gradient) {
  const int64_t r = blockIdx.x;
  const T factor = softmax.scale / softmax.normaliser[r];
  for (int64_t k = threadIdx.x; k < columns; k += kThreads) {
    const int64_t at = r * columns + k;
    gradient[at] = factor * softmax.weight(r, cost[at]) * (mean[r] - gradient[at]);
  }
}

template <class T>
struct EntropyInputs {
  const T* to_sample;
  const T* to_mean;
  const T* expected;
  const T* entropy;
};

template <class T>
__global__ void entropy_gradient_kernel(const T* cost, int64_t columns, SoftmaxRows<T> softmax,
                                        EntropyInputs<T> upstream, T* gradient) {
  const int64_t r = blockIdx.x;
  const T factor = softmax.scale / softmax.normaliser[r];
  const T to_sample = *upstream.to_sample;
  const T at_lowest =
      to_sample * (upstream.entropy[r] - log(softmax.normaliser[r])) + upstream.expected[r];
  const T slope = to_sample * softmax.scale;
  for (int64_t k = threadIdx.x; k < columns; k += kThreads) {
    const int64_t at = r * columns + k;
    const T arriving = at_lowest - slope * (cost[at] - softmax.lowest[r]) - upstream.to_mean[k];
    gradient[at] += factor * softmax.weight(r, cost[at]) * arriving;
  }
}

/// Launches with one thread block for each of `blocks` rows or groups of columns.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, Arguments... arguments) {
  kernel<<<static_cast<unsigned int>(blocks), kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
      arguments...);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

template <class T>
void row_statistics(const Tensor& cost, const std::vector<double>& temperatures,
                    const RowStatistics& out) {
  const int64_t rows = cost.size(0), codes = cost.size(1);
  const T* costs = cost.const_data_ptr<T>();
  T* lowest = out.lowest.mutable_data_ptr<T>();
  launch(lowest_kernel<T>, rows, costs, codes, lowest, out.ids.mutable_data_ptr<int64_t>());
  for (size_t m = 0; m < temperatures.size(); ++m) {
    const auto scale = static_cast<T>(1.0 / temperatures[m]);
    T* normaliser = out.normaliser.mutable_data_ptr<T>() + m * rows;
    launch(sums_kernel<T>, rows, costs, codes, lowest, scale, normaliser,
           out.entropy.mutable_data_ptr<T>() + m * rows);
    if (!out.top_mass.defined()) continue;
    launch(top_mass_kernel<T>, rows, costs, codes, lowest, normaliser, scale,
           out.top_mass.mutable_data_ptr<T>() + m * rows * kTops);
  }
}

template <class T>
void add_distribution(const Tensor& cost, const RowSoftmax& softmax, const Tensor& sum) {
  const int64_t codes = cost.size(1);
  launch(distribution_kernel<T>, (codes + kThreads - 1) / kThreads, cost.const_data_ptr<T>(),
         cost.size(0), codes, rows_of<T>(softmax), sum.mutable_data_ptr<T>());
}

template <class T>
void add_expectation(const Tensor& cost, const RowSoftmax& softmax, const Tensor& values,
                     const Tensor& sum) {
  launch(expectation_kernel<T>, cost.size(0), cost.const_data_ptr<T>(), cost.size(1),
         rows_of<T>(softmax), values.const_data_ptr<T>(), sum.mutable_data_ptr<T>());
}

template <class T>
void assignment(const Tensor& cost, const RowSoftmax& softmax, const Tensor& out) {
  launch(assignment_kernel<T>, cost.size(0), cost.const_data_ptr<T>(), cost.size(1),
         rows_of<T>(softmax), out.mutable_data_ptr<T>());
}

template <class T>
void assignment_gradient(const Tensor& cost, const RowSoftmax& softmax, const Tensor& mean,
                         const Tensor& gradient) {
  launch(assignment_gradient_kernel<T>, cost.size(0), cost.const_data_ptr<T>(), cost.size(1),
         rows_of<T>(softmax), mean.const_data_ptr<T>(), gradient.mutable_data_ptr<T>());
}

template <class T>
void add_entropy_gradient(const Tensor& cost, const RowSoftmax& softmax,
                          const EntropyGradient& upstream, const Tensor& gradient) {
  const EntropyInputs<T> inputs{
      upstream.to_sample.const_data_ptr<T>(), upstream.to_mean.const_data_ptr<T>(),
      upstream.expected.const_data_ptr<T>(), upstream.entropy.const_data_ptr<T>()};
  launch(entropy_gradient_kernel<T>, cost.size(0), cost.const_data_ptr<T>(), cost.size(1),
         rows_of<T>(softmax), inputs, gradient.mutable_data_ptr<T>());
}

}  // namespace

#define GEAR_FOR_TYPE_OF(cost, call) \
  AT_DISPATCH_FLOATING_TYPES((cost).scalar_type(), "read_out", [&] { call; })

const ReadoutKernels kCudaReadout = {
    [](const Tensor& cost, const std::vector<double>& temperatures, const RowStatistics& out) {
      GEAR_FOR_TYPE_OF(cost, row_statistics<scalar_t>(cost, temperatures, out));
    },
    [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& sum) {
      GEAR_FOR_TYPE_OF(cost, add_distribution<scalar_t>(cost, softmax, sum));
    },
    [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& values, const Tensor& sum) {
      GEAR_FOR_TYPE_OF(cost, add_expectation<scalar_t>(cost, softmax, values, sum));
    },
    [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& out) {
      GEAR_FOR_TYPE_OF(cost, assignment<scalar_t>(cost, softmax, out));
    },
    [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& mean, const Tensor& gradient) {
      GEAR_FOR_TYPE_OF(cost, assignment_gradient<scalar_t>(cost, softmax, mean, gradient));
    },
    [](const Tensor& cost, const RowSoftmax& softmax, const EntropyGradient& upstream,
       const Tensor& gradient) {
      GEAR_FOR_TYPE_OF(cost, add_entropy_gradient<scalar_t>(cost, softmax, upstream, gradient));
    },
};

}  // namespace gear::ops
