#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "ops/cpu/vector_math.h"
#include "ops/linear_cross_entropy_kernels.h"

// R rows, K classes

namespace gear::ops {
namespace {

template <class T>
GEAR_VECTOR_CLONES T largest(const T* values, int64_t count) {
  T most = values[0];
#pragma omp simd reduction(max : most)
  for (int64_t k = 0; k < count; ++k) most = values[k] > most ? values[k] : most;
  return most;
}

template <class T>
GEAR_VECTOR_CLONES T sum_of_exponentials(const T* values, int64_t count, T shift) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < count; ++k) sum += cpu::vector_exp(values[k] - shift);
  return sum;
}

template <class T>
GEAR_VECTOR_CLONES void to_scaled_softmax(T* values, int64_t count, T shift, T scale) {
#pragma omp simd
  for (int64_t k = 0; k < count; ++k) values[k] = scale * cpu::vector_exp(values[k] - shift);
}

/// ln of the sum of e^value, its chunks added up in float64.
template <class T>
T log_sum_exp(const T* values, int64_t count) {
  constexpr int64_t kChunk = 1024;
  const T shift = largest(values, count);
  double sum = 0.0;
  for (int64_t k = 0; k < count; k += kChunk) {
    sum += sum_of_exponentials(values + k, std::min(kChunk, count - k), shift);
  }
  return shift + static_cast<T>(std::log(sum));
}

template <class T>
void losses(const LogitRows& rows, const T* scale) {
  const int64_t classes = rows.logits.size(1);
  T* logits = rows.logits.mutable_data_ptr<T>();
  const auto* targets = rows.targets.const_data_ptr<int64_t>();
  T* losses = rows.losses.mutable_data_ptr<T>();
  at::parallel_for(0, rows.logits.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* row = logits + r * classes;
      if (targets[r] < 0) {
        losses[r] = 0;
        if (scale != nullptr) std::fill(row, row + classes, T{0});
        continue;
      }
      const T log_sum = log_sum_exp(row, classes);
      losses[r] = log_sum - row[targets[r]];
      if (scale == nullptr) continue;
      to_scaled_softmax(row, classes, log_sum, *scale);
      row[targets[r]] -= *scale;
    }
  });
}

}  // namespace

const CrossEntropyKernels kCpuCrossEntropy = {
    .losses =
        [](const LogitRows& rows) {
          AT_DISPATCH_FLOATING_TYPES(rows.logits.scalar_type(), "linear_cross_entropy",
                                     [&] { losses<scalar_t>(rows, nullptr); });
        },
    .losses_and_gradient =
        [](const LogitRows& rows, const Tensor& scale) {
          AT_DISPATCH_FLOATING_TYPES(rows.logits.scalar_type(), "linear_cross_entropy", [&] {
            losses<scalar_t>(rows, scale.const_data_ptr<scalar_t>());
          });
        },
};

}  // namespace gear::ops
