#include "gear/sample/filter.h"

#include <ATen/ops/cumsum.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>

#include "sample/kth_largest.h"

namespace gear::sample {
namespace {

constexpr double kDropped = -std::numeric_limits<double>::infinity();
constexpr double kLeastTemperature = 1e-5;

Tensor keep_top_k(const Tensor& logits, int64_t top_k) {
  const auto kth = kth_largest(logits, std::min(top_k, logits.size(-1)));  // [B, 1]
  return logits.masked_fill(logits < kth, kDropped);
}

Tensor keep_top_p(const Tensor& logits, double top_p) {
  const auto [sorted, order] = at::sort(logits, /*dim=*/-1, /*descending=*/true);
  const auto mass = at::softmax(sorted, -1).cumsum(-1);  // [B, K]
  const int64_t others = logits.size(-1) - 1;
  auto drop_sorted = at::zeros_like(mass, at::kBool);
  drop_sorted.narrow(-1, 1, others).copy_(mass.narrow(-1, 0, others) > top_p);
  const auto drop = at::zeros_like(drop_sorted).scatter(-1, order, drop_sorted);
  return logits.masked_fill(drop, kDropped);
}

}  // namespace

Tensor filter_logits(const Tensor& logits, const FilterOptions& options) {
  auto filtered = logits / std::max(options.temperature, kLeastTemperature);
  if (options.top_k > 0) filtered = keep_top_k(filtered, options.top_k);
  if (options.top_p < 1.0) filtered = keep_top_p(filtered, options.top_p);
  return filtered;
}

}  // namespace gear::sample
