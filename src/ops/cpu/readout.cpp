#include "gear/ops/readout.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cpu/readout_loops.h"
#include "ops/readout_kernels.h"

// R rows of costs, n columns of them, M temperatures

namespace gear::ops {
namespace {

using cpu::EntropySlope;
using cpu::Exponent;
using cpu::WeightSums;

// Sums over codes are taken in chunks of this length and added up in float64, so that their error
// does not grow with the number of codes.
constexpr int64_t kChunk = 1024;

template <class T>
Exponent<T> exponent_of(T lowest, double temperature) {
  return {.lowest = lowest, .scale = static_cast<T>(1.0 / temperature)};
}

template <class T>
WeightSums<double> long_weight_sums(const T* cost, int64_t count, Exponent<T> exponent) {
  WeightSums<double> sums{0.0, 0.0};
  for (int64_t k = 0; k < count; k += kChunk) {
    const auto chunk = cpu::weight_sums(cost + k, std::min(kChunk, count - k), exponent);
    sums.weight += chunk.weight;
    sums.weighted += chunk.weighted;
  }
  return sums;
}

/// The `kTopCounts` smallest costs of a row, in front and in groups: the smallest, the next 9, ...
template <class T>
class NearestCosts {
 public:
  void find(const T* cost, int64_t count) {
    costs_.assign(cost, cost + count);
    // The widest group first: each narrower one is then looked for among fewer.
    auto end = costs_.end();
    for (auto top = kTopCounts.rbegin(); top != kTopCounts.rend(); ++top) {
      if (*top >= end - costs_.begin()) continue;
      std::nth_element(costs_.begin(), costs_.begin() + *top, end);
      end = costs_.begin() + *top;
    }
  }

  /// Sums of w over the 1, 10, 100 and 1000 nearest.
  std::array<double, kTopCounts.size()> masses(Exponent<T> exponent) const {
    std::array<double, kTopCounts.size()> sums{};
    double sum = 0.0;
    int64_t begin = 0;
    for (size_t i = 0; i < kTopCounts.size(); ++i) {
      const int64_t end = std::min(kTopCounts[i], static_cast<int64_t>(costs_.size()));
      sum += long_weight_sums(costs_.data() + begin, end - begin, exponent).weight;
      begin = end;
      sums[i] = sum;
    }
    return sums;
  }

 private:
  std::vector<T> costs_;
};

template <class T>
void row_statistics(const Tensor& cost, const std::vector<double>& temperatures,
                    const RowStatistics& out) {
  const int64_t rows = cost.size(0), codes = cost.size(1);
  const T* costs = cost.const_data_ptr<T>();
  auto* ids = out.ids.mutable_data_ptr<int64_t>();
  T* lowest = out.lowest.mutable_data_ptr<T>();
  T* normaliser = out.normaliser.mutable_data_ptr<T>();
  T* entropy = out.entropy.mutable_data_ptr<T>();
  T* top_mass = out.top_mass.defined() ? out.top_mass.mutable_data_ptr<T>() : nullptr;
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    NearestCosts<T> nearest;
    for (int64_t r = begin; r < end; ++r) {
      const T* row = costs + r * codes;
      lowest[r] = cpu::smallest(row, codes);
      const T* first = std::find(row, row + codes, lowest[r]);
      ids[r] = first == row + codes ? 0 : first - row;  // NaN equals nothing; the losses show it
      if (top_mass != nullptr) nearest.find(row, codes);
      for (size_t m = 0; m < temperatures.size(); ++m) {
        const auto exponent = exponent_of(lowest[r], temperatures[m]);
        const auto sums = long_weight_sums(row, codes, exponent);
        const int64_t at = static_cast<int64_t>(m) * rows + r;
        normaliser[at] = static_cast<T>(sums.weight);
        // H = -sum p ln p, and ln p = -(cost - lowest) / temperature - ln normaliser.
        entropy[at] =
            static_cast<T>(sums.weighted / sums.weight / temperatures[m] + std::log(sums.weight));
        if (top_mass == nullptr) continue;
        const auto masses = nearest.masses(exponent);
        for (size_t i = 0; i < masses.size(); ++i) {
          top_mass[at * static_cast<int64_t>(masses.size()) + static_cast<int64_t>(i)] =
              static_cast<T>(masses[i] / sums.weight);
        }
      }
    }
  });
}

template <class T>
struct SoftmaxRows {
  explicit SoftmaxRows(const RowSoftmax& softmax)
      : lowest(softmax.lowest.const_data_ptr<T>()),
        normaliser(softmax.normaliser.const_data_ptr<T>()),
        temperature(softmax.temperature) {}

  Exponent<T> exponent(int64_t row) const { return exponent_of(lowest[row], temperature); }

  const T* lowest;
  const T* normaliser;
  double temperature;
};

/// Runs `body(row)` for all rows on all threads.
template <class Body>
void for_rows(const Tensor& cost, const Body& body) {
  at::parallel_for(0, cost.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r);
  });
}

template <class T>
void add_distribution(const Tensor& cost, const RowSoftmax& softmax, const Tensor& sum) {
  const int64_t rows = cost.size(0), codes = cost.size(1);
  const T* costs = cost.const_data_ptr<T>();
  const SoftmaxRows<T> softmaxes(softmax);
  T* sums = sum.mutable_data_ptr<T>();
  // Threads divide the codes, so each sum is taken in the order of the rows.
  at::parallel_for(0, codes, kChunk, [&](int64_t begin, int64_t end) {
    std::vector<T> block(static_cast<size_t>(end - begin), T{0});
    for (int64_t r = 0; r < rows; ++r) {
      cpu::add_weights(costs + r * codes + begin, end - begin, softmaxes.exponent(r),
                       T{1} / softmaxes.normaliser[r], block.data());
    }
    for (int64_t k = begin; k < end; ++k) sums[k] += block[static_cast<size_t>(k - begin)];
  });
}

template <class T>
void add_expectation(const Tensor& cost, const RowSoftmax& softmax, const Tensor& values,
                     const Tensor& sum) {
  const int64_t columns = cost.size(1);
  const T* costs = cost.const_data_ptr<T>();
  const T* value = values.const_data_ptr<T>();
  const SoftmaxRows<T> softmaxes(softmax);
  T* sums = sum.mutable_data_ptr<T>();
  for_rows(cost, [&](int64_t r) {
    double total = 0.0;
    for (int64_t k = 0; k < columns; k += kChunk) {
      total += cpu::expectation(costs + r * columns + k, std::min(kChunk, columns - k),
                                softmaxes.exponent(r), value + k);
    }
    sums[r] += static_cast<T>(total / softmaxes.normaliser[r]);
  });
}

template <class T>
void assignment(const Tensor& cost, const RowSoftmax& softmax, const Tensor& out) {
  const int64_t columns = cost.size(1);
  const T* costs = cost.const_data_ptr<T>();
  const SoftmaxRows<T> softmaxes(softmax);
  T* result = out.mutable_data_ptr<T>();
  for_rows(cost, [&](int64_t r) {
    cpu::write_weights(costs + r * columns, columns, softmaxes.exponent(r),
                       T{1} / softmaxes.normaliser[r], result + r * columns);
  });
}

template <class T>
void assignment_gradient(const Tensor& cost, const RowSoftmax& softmax, const Tensor& mean,
                         const Tensor& gradient) {
  const int64_t columns = cost.size(1);
  const T* costs = cost.const_data_ptr<T>();
  const T* means = mean.const_data_ptr<T>();
  const SoftmaxRows<T> softmaxes(softmax);
  T* gradients = gradient.mutable_data_ptr<T>();
  for_rows(cost, [&](int64_t r) {
    const auto factor = static_cast<T>(1.0 / (softmax.temperature * softmaxes.normaliser[r]));
    cpu::turn_gradient(costs + r * columns, columns, softmaxes.exponent(r), factor, means[r],
                       gradients + r * columns);
  });
}

template <class T>
void add_entropy_gradient(const Tensor& cost, const RowSoftmax& softmax,
                          const EntropyGradient& upstream, const Tensor& gradient) {
  const int64_t columns = cost.size(1);
  const T* costs = cost.const_data_ptr<T>();
  const T* to_mean = upstream.to_mean.const_data_ptr<T>();
  const T* expected = upstream.expected.const_data_ptr<T>();
  const T* entropy = upstream.entropy.const_data_ptr<T>();
  const T to_sample = upstream.to_sample.item<T>();
  const SoftmaxRows<T> softmaxes(softmax);
  T* gradients = gradient.mutable_data_ptr<T>();
  for_rows(cost, [&](int64_t r) {
    // d H / d cost = p (H + ln p) / temperature; d mean / d cost = -p (to_mean - expected) / ...
    const T normaliser = softmaxes.normaliser[r];
    const EntropySlope<T> line{
        .factor = static_cast<T>(1.0 / (softmax.temperature * normaliser)),
        .at_lowest = to_sample * (entropy[r] - std::log(normaliser)) + expected[r],
        .slope = static_cast<T>(to_sample / softmax.temperature)};
    cpu::add_entropy_slope(costs + r * columns, columns, softmaxes.exponent(r), line, to_mean,
                           gradients + r * columns);
  });
}

}  // namespace

#define GEAR_FOR_TYPE_OF(cost, call) \
  AT_DISPATCH_FLOATING_TYPES((cost).scalar_type(), "read_out", [&] { call; })

const ReadoutKernels kCpuReadout = {
    .row_statistics =
        [](const Tensor& cost, const std::vector<double>& temperatures, const RowStatistics& out) {
          GEAR_FOR_TYPE_OF(cost, row_statistics<scalar_t>(cost, temperatures, out));
        },
    .add_distribution =
        [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& sum) {
          GEAR_FOR_TYPE_OF(cost, add_distribution<scalar_t>(cost, softmax, sum));
        },
    .add_expectation =
        [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& values, const Tensor& sum) {
          GEAR_FOR_TYPE_OF(cost, add_expectation<scalar_t>(cost, softmax, values, sum));
        },
    .assignment =
        [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& out) {
          GEAR_FOR_TYPE_OF(cost, assignment<scalar_t>(cost, softmax, out));
        },
    .assignment_gradient =
        [](const Tensor& cost, const RowSoftmax& softmax, const Tensor& mean,
           const Tensor& gradient) {
          GEAR_FOR_TYPE_OF(cost, assignment_gradient<scalar_t>(cost, softmax, mean, gradient));
        },
    .add_entropy_gradient =
        [](const Tensor& cost, const RowSoftmax& softmax, const EntropyGradient& upstream,
           const Tensor& gradient) {
          GEAR_FOR_TYPE_OF(cost, add_entropy_gradient<scalar_t>(cost, softmax, upstream, gradient));
        },
};

}  // namespace gear::ops
