#include "gear/models/tokenizers/lfq_quantizer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/mse_loss.h>

#include "gear/nn/autocast.h"
#include "models/tokenizers/token_rows.h"

namespace gear::models {
namespace {

/// Signs of ids: bit i -> channel i, 1 -> +1, 0 -> -1. [N] int64 -> [N, bits] int64.
Tensor signs_of(const Tensor& ids, int64_t bits) {
  const auto places = at::arange(bits, ids.options());
  return ids.unsqueeze(1).bitwise_right_shift(places).bitwise_and(1) * 2 - 1;
}

/// Inverse of signs_of: rows [N, bits] of any values -> [N] int64.
Tensor ids_of(const Tensor& rows) {
  const auto ones = (rows > 0).to(at::kLong);
  return ones.bitwise_left_shift(at::arange(rows.size(1), ones.options())).sum(1);
}

/// All codes of `bits` bits, [2^bits, bits], in the type and on the device of `like`.
Tensor code_table(int64_t bits, const Tensor& like) {
  const auto ids = at::arange(int64_t{1} << bits, like.options().dtype(at::kLong));
  return signs_of(ids, bits).to(like.scalar_type());
}

}  // namespace

LfqQuantizer::LfqQuantizer(const QuantizerConfig& config)
    : Quantizer(config), bits_(config.codebook_dim / config.groups) {}

Quantized LfqQuantizer::forward(const Tensor& z) {
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  const auto rows = token_rows(z, config_.codebook_dim);  // [T, D]
  const auto grouped = rows.reshape({-1, bits_});         // [T * G, D / G]
  const ops::Costs costs{.left = grouped * -2, .right = code_table(bits_, rows)};
  const auto chosen = (rows.detach() > 0).to(rows.scalar_type()) * 2 - 1;  // [T, D]
  QuantizerLosses losses;
  if (is_training()) {
    losses = entropy_losses(read_groups(costs), config_, world_);
    losses.commit = config_.commit_weight * at::mse_loss(rows, chosen);
  }
  return {.z_q = as_latent(straight_through(rows, chosen), z),
          .ids = ids_of(grouped),
          .costs = costs,
          .losses = losses};
}

std::vector<ops::Readout> LfqQuantizer::read_groups(const ops::Costs& costs) const {
  const auto by_group = costs.left.view({-1, config_.groups, bits_});  // [T, G, D / G]
  std::vector<ops::Readout> readouts;
  for (int64_t group = 0; group < config_.groups; ++group) {
    readouts.push_back(read_codes({.left = by_group.select(1, group), .right = costs.right},
                                  config_, /*training=*/true));
  }
  return readouts;
}

Tensor LfqQuantizer::nearest_ids(const Tensor& z) {
  const at::NoGradGuard no_grad;
  return ids_of(token_rows(z, config_.codebook_dim).reshape({-1, bits_}));
}

Tensor LfqQuantizer::lookup(const Tensor& ids) {
  return signs_of(ids, bits_).to(at::kFloat).view({-1, config_.codebook_dim});
}

}  // namespace gear::models
