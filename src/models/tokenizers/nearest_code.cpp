#include "models/tokenizers/nearest_code.h"

#include <ATen/ops/mse_loss.h>

#include "models/tokenizers/token_rows.h"

namespace gear::models {

Quantized quantize_to_nearest(const Tensor& z, const Tensor& rows, const Tensor& codes,
                              const QuantizerConfig& config, bool training) {
  const auto cost = squared_distances(rows, codes);
  const auto ids = cost.argmin(1);                 // [T], first of equals
  const auto chosen = codes.index_select(0, ids);  // [T, D]
  QuantizerLosses losses;
  if (training) {
    losses = entropy_losses(cost, config);
    losses.codebook = at::mse_loss(chosen, rows.detach());
    losses.commit = config.commit_weight * at::mse_loss(rows, chosen.detach());
  }
  return {.z_q = as_latent(straight_through(rows, chosen), z),
          .ids = ids,
          .cost = cost,
          .losses = losses};
}

}  // namespace gear::models
