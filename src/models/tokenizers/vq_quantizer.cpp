#include "gear/models/tokenizers/vq_quantizer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/ones.h>
#include <torch/nn/init.h>

#include "gear/nn/autocast.h"

// B batch, h w token grid, T = B * h * w tokens, K codes, D code width

namespace gear::models {
namespace {

Tensor unit_rows(const Tensor& rows) {
  constexpr double kSmallestNorm = 1e-12;
  return rows / rows.norm(2, {-1}, /*keepdim=*/true).clamp_min(kSmallestNorm);
}

/// |r|^2 + |c|^2 - 2 <r, c> as one product of width D + 2, so that the [T, K] matrix is written
/// once and its gradient is two products.
Tensor squared_distances(const Tensor& rows, const Tensor& codes) {
  const auto ones = [](const Tensor& like) { return at::ones({like.size(0), 1}, like.options()); };
  const auto square = [](const Tensor& x) { return x.square().sum(-1, /*keepdim=*/true); };
  const auto left = at::cat({rows * -2, square(rows), ones(rows)}, 1);  // [T, D + 2]
  const auto right = at::cat({codes, ones(codes), square(codes)}, 1);   // [K, D + 2]
  return at::mm(left, right.t());                                       // [T, K]
}

}  // namespace

VqQuantizer::VqQuantizer(const QuantizerConfig& config)
    : Quantizer(config),
      embedding(register_module("embedding",
                                torch::nn::Embedding(config.codebook_size, config.codebook_dim))) {
  const at::NoGradGuard no_grad;
  const double bound = 1.0 / static_cast<double>(config.codebook_size);
  torch::nn::init::uniform_(embedding->weight, -bound, bound);
  if (config.l2_norm) embedding->weight.copy_(unit_rows(embedding->weight));
}

Quantized VqQuantizer::forward(const Tensor& z) {
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  const auto rows = token_rows(z);
  const auto codes = on_sphere(embedding->weight);
  const auto cost = squared_distances(rows, codes);
  const auto ids = cost.argmin(1);                                // [T], first of equals
  const auto chosen = codes.index_select(0, ids);                 // [T, D]
  const auto straight_through = rows + (chosen - rows).detach();  // gradient passes to rows
  auto z_q = straight_through.view({z.size(0), z.size(2), z.size(3), -1}).permute({0, 3, 1, 2});
  return {.z_q = z_q.contiguous(z.suggest_memory_format()),
          .ids = ids,
          .cost = cost,
          .losses = is_training() ? losses(rows, chosen, cost) : QuantizerLosses{}};
}

Tensor VqQuantizer::nearest_ids(const Tensor& z) {
  constexpr int64_t kBlockElements = int64_t{1} << 22;  // 16 MiB of distances stay in cache
  const at::NoGradGuard no_grad;
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  const auto codes = on_sphere(embedding->weight);
  std::vector<Tensor> ids;
  for (const auto& block :
       token_rows(z).split(std::max<int64_t>(1, kBlockElements / codes.size(0)))) {
    ids.push_back(squared_distances(block, codes).argmin(1));
  }
  return at::cat(ids);
}

Tensor VqQuantizer::lookup(const Tensor& ids) {
  return on_sphere(embedding->weight.index_select(0, ids));
}

Tensor VqQuantizer::token_rows(const Tensor& z) const {
  expect_sizes(z, {-1, config_.codebook_dim, -1, -1}, "VqQuantizer: latent");
  const auto rows = nn::to_full_precision(z).permute({0, 2, 3, 1});
  return on_sphere(rows.reshape({-1, config_.codebook_dim}));
}

Tensor VqQuantizer::on_sphere(const Tensor& rows) const {
  return config_.l2_norm ? unit_rows(rows) : rows;
}

QuantizerLosses VqQuantizer::losses(const Tensor& rows, const Tensor& chosen,
                                    const Tensor& cost) const {
  // Without a weight the entropies are for the log only and keep no graph.
  const auto entropies =
      entropy_terms(config_.entropy_ratio > 0 ? cost : cost.detach(), config_.entropy_temperature);
  return {.codebook = at::mse_loss(chosen, rows.detach()),
          .commit = config_.commit_weight * at::mse_loss(rows, chosen.detach()),
          .entropy = config_.entropy_ratio * (entropies.sample - entropies.average),
          .sample_entropy = entropies.sample.detach(),
          .average_entropy = entropies.average.detach(),
          .average_entropy_unbiased = entropies.average_unbiased};
}

}  // namespace gear::models
