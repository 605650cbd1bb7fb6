#include "gear/models/tokenizers/ibq_quantizer.h"

#include <ATen/ops/mse_loss.h>

#include "gear/nn/autocast.h"
#include "models/tokenizers/token_rows.h"

// T tokens, K codes, D code width

namespace gear::models {

IbqQuantizer::IbqQuantizer(const QuantizerConfig& config)
    : Quantizer(config),
      embedding(register_module("embedding",
                                torch::nn::Embedding(config.codebook_size, config.codebook_dim))) {}

Quantized IbqQuantizer::forward(const Tensor& z) {
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  const auto rows = token_rows(z, config_.codebook_dim);
  const auto costs = this->costs(rows);
  // onehot(ids) - sg(p) + p times the codes, with p = softmax(-cost): hard in value, and every loss
  // on it trains the whole codebook.
  const auto hard =
      ops::read_out(costs, embedding->weight, {.temperature = 1.0, .straight_through = true});
  QuantizerLosses losses;
  if (is_training()) {
    const auto chosen = embedding->weight.index_select(0, hard.ids);  // [T, D]
    losses = entropy_losses({read_codes(costs, config_, /*training=*/true)}, config_, world_);
    losses.codebook = at::mse_loss(hard.lookup, rows) + at::mse_loss(rows, chosen.detach()) +
                      config_.commit_weight * at::mse_loss(chosen, rows.detach());
  }
  return {.z_q = as_latent(hard.lookup, z), .ids = hard.ids, .costs = costs, .losses = losses};
}

Tensor IbqQuantizer::nearest_ids(const Tensor& z) {
  const at::NoGradGuard no_grad;
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  return nearest(costs(token_rows(z, config_.codebook_dim)));
}

Tensor IbqQuantizer::lookup(const Tensor& ids) { return embedding->weight.index_select(0, ids); }

ops::Costs IbqQuantizer::costs(const Tensor& rows) const {
  const auto& codes = embedding->weight;
  if (config_.cosine) return {.left = -unit_rows(rows), .right = unit_rows(codes)};
  return {.left = -rows, .right = codes};
}

}  // namespace gear::models
