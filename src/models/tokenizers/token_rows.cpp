#include "models/tokenizers/token_rows.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>

#include "gear/nn/autocast.h"

namespace gear::models {

Tensor token_rows(const Tensor& z, int64_t dim) {
  expect_sizes(z, {-1, dim, -1, -1}, "quantizer: latent");
  return nn::to_full_precision(z).permute({0, 2, 3, 1}).reshape({-1, dim});
}

Tensor as_latent(const Tensor& rows, const Tensor& z) {
  const auto latent = rows.view({z.size(0), z.size(2), z.size(3), -1}).permute({0, 3, 1, 2});
  return latent.contiguous(z.suggest_memory_format());
}

Tensor unit_rows(const Tensor& rows) {
  constexpr double kSmallestNorm = 1e-12;
  return rows / rows.norm(2, {-1}, /*keepdim=*/true).clamp_min(kSmallestNorm);
}

Tensor straight_through(const Tensor& rows, const Tensor& chosen) {
  return rows + (chosen - rows).detach();
}

/// One product of width D + 2, so that the [T, K] matrix is written once and its gradient is two
/// products.
Tensor squared_distances(const Tensor& rows, const Tensor& codes) {
  const auto ones = [](const Tensor& like) { return at::ones({like.size(0), 1}, like.options()); };
  const auto square = [](const Tensor& x) { return x.square().sum(-1, /*keepdim=*/true); };
  const auto left = at::cat({rows * -2, square(rows), ones(rows)}, 1);  // [T, D + 2]
  const auto right = at::cat({codes, ones(codes), square(codes)}, 1);   // [K, D + 2]
  return at::mm(left, right.t());                                       // [T, K]
}

Tensor argmin_by_blocks(const Tensor& rows, int64_t num_codes,
                        const std::function<Tensor(const Tensor&)>& cost_of) {
  constexpr int64_t kBlockElements = int64_t{1} << 22;  // 16 MiB of costs stay in cache
  std::vector<Tensor> ids;
  for (const auto& block : rows.split(std::max<int64_t>(1, kBlockElements / num_codes))) {
    ids.push_back(cost_of(block).argmin(1));
  }
  return at::cat(ids);
}

QuantizerLosses entropy_losses(const Tensor& cost, const QuantizerConfig& config) {
  // Without a weight the entropies are for the log only and keep no graph.
  const auto entropies =
      entropy_terms(config.entropy_ratio > 0 ? cost : cost.detach(), config.entropy_temperature);
  QuantizerLosses losses;
  losses.entropy = config.entropy_ratio * (entropies.sample - entropies.average);
  losses.sample_entropy = entropies.sample.detach();
  losses.average_entropy = entropies.average.detach();
  losses.average_entropy_unbiased = entropies.average_unbiased;
  return losses;
}

}  // namespace gear::models
