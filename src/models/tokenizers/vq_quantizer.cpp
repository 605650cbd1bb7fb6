#include "gear/models/tokenizers/vq_quantizer.h"

#include <torch/nn/init.h>

#include "gear/nn/autocast.h"
#include "models/tokenizers/nearest_code.h"
#include "models/tokenizers/token_rows.h"

// B batch, h w token grid, T = B * h * w tokens, K codes, D code width

namespace gear::models {

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
  return quantize_to_nearest(z, on_sphere(token_rows(z, config_.codebook_dim)),
                             on_sphere(embedding->weight), config_, is_training(), world_);
}

Tensor VqQuantizer::nearest_ids(const Tensor& z) {
  const at::NoGradGuard no_grad;
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  return nearest(squared_distances(on_sphere(token_rows(z, config_.codebook_dim)),
                                   on_sphere(embedding->weight)));
}

Tensor VqQuantizer::lookup(const Tensor& ids) {
  return on_sphere(embedding->weight.index_select(0, ids));
}

Tensor VqQuantizer::on_sphere(const Tensor& rows) const {
  return config_.l2_norm ? unit_rows(rows) : rows;
}

}  // namespace gear::models
