#include "models/tokenizers/nearest_code.h"

#include <ATen/ops/mse_loss.h>

#include "models/tokenizers/token_rows.h"

namespace gear::models {

Quantized quantize_to_nearest(const Tensor& z, const Tensor& rows, const Tensor& codes,
                              const QuantizerConfig& config, bool training,
                              const dist::World& world) {
  const auto costs = squared_distances(rows, codes);
  const auto readout = read_codes(costs, config, training);
  const auto chosen = codes.index_select(0, readout.ids);  // [T, D]
  QuantizerLosses losses;
  if (training) {
    losses = entropy_losses({readout}, config, world);
    losses.codebook = at::mse_loss(chosen, rows.detach());
    losses.commit = config.commit_weight * at::mse_loss(rows, chosen.detach());
  }
  return {.z_q = as_latent(straight_through(rows, chosen), z),
          .ids = readout.ids,
          .costs = costs,
          .losses = losses};
}

}  // namespace gear::models
