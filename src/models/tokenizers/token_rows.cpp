#include "models/tokenizers/token_rows.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/special_entr.h>
#include <ATen/ops/stack.h>

#include "gear/dist/global_mean.h"
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

ops::Costs squared_distances(const Tensor& rows, const Tensor& codes) {
  const auto ones = [](const Tensor& like) { return at::ones({like.size(0), 1}, like.options()); };
  const auto square = [](const Tensor& x) { return x.square().sum(-1, /*keepdim=*/true); };
  return {.left = at::cat({rows * -2, square(rows), ones(rows)}, 1),  // [T, D + 2]
          .right = at::cat({codes, ones(codes), square(codes)}, 1)};  // [K, D + 2]
}

Tensor nearest(const ops::Costs& costs) { return ops::read_out(costs.detach(), {}, {}).ids; }

ops::Readout read_codes(const ops::Costs& costs, const QuantizerConfig& config, bool training) {
  const double temperature = training ? config.entropy_temperature : 0.0;
  // Without a weight the entropies are for the log only and keep no graph.
  return ops::read_out(config.entropy_ratio > 0 ? costs : costs.detach(), {},
                       {.entropy_temperature = temperature});
}

QuantizerLosses entropy_losses(const std::vector<ops::Readout>& groups,
                               const QuantizerConfig& config, const dist::World& world) {
  constexpr double kFloor = 1e-5;
  std::vector<Tensor> sample, average, average_unbiased;
  for (const ops::Readout& group : groups) {
    const auto mean_p = dist::global_mean(group.mean_distribution, world);  // [K]
    sample.push_back(group.sample_entropy);
    average.push_back(-(mean_p * (mean_p + kFloor).log()).sum());
    average_unbiased.push_back(at::special_entr(mean_p.detach()).sum());
  }
  const auto mean = [](const std::vector<Tensor>& values) { return at::stack(values).mean(); };
  QuantizerLosses losses;
  losses.entropy = config.entropy_ratio * (mean(sample) - mean(average));
  losses.sample_entropy = mean(sample).detach();
  losses.average_entropy = mean(average).detach();
  losses.average_entropy_unbiased = mean(average_unbiased);
  return losses;
}

}  // namespace gear::models
