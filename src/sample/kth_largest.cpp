#include "sample/kth_largest.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/topk.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <vector>

// B rows, K values

namespace gear::sample {
namespace {

/// Whole numbers in the order of the values they come from.
uint32_t ordered(float value) {
  constexpr uint32_t kSign = 0x80000000U, kMost = 0xffffffffU;
  if (value != value) return kMost;
  const auto bits = std::bit_cast<uint32_t>(value);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// One pass counts the values by their first bits; only those that share the bits of the wanted one
/// are then put in order.
float kth_of_row(const float* row, int64_t count, int64_t k) {
  constexpr int kBits = 11, kShift = 32 - kBits;
  std::array<int32_t, size_t{1} << kBits> bins{};
  for (int64_t i = 0; i < count; ++i) ++bins[ordered(row[i]) >> kShift];

  uint32_t bin = (1U << kBits) - 1;
  for (; k > bins[bin]; --bin) k -= bins[bin];
  std::vector<float> candidates;
  for (int64_t i = 0; i < count; ++i) {
    if (ordered(row[i]) >> kShift == bin) candidates.push_back(row[i]);
  }
  const auto wanted = candidates.begin() + (k - 1);
  std::nth_element(candidates.begin(), wanted, candidates.end(),
                   [](float a, float b) { return ordered(a) > ordered(b); });
  return *wanted;
}

}  // namespace

Tensor kth_largest(const Tensor& values, int64_t k) {
  if (!values.is_cpu()) {
    return std::get<0>(at::topk(values, k, -1, /*largest=*/true, /*sorted=*/false))
        .amin(-1, /*keepdim=*/true);
  }
  const auto rows = values.contiguous();
  const int64_t count = rows.size(1);
  auto found = at::empty({rows.size(0), 1}, rows.options());
  const float* from = rows.const_data_ptr<float>();
  float* to = found.mutable_data_ptr<float>();
  at::parallel_for(0, rows.size(0), /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) to[b] = kth_of_row(from + b * count, count, k);
  });
  return found;
}

}  // namespace gear::sample
