#include "gear/models/tokenizers/simvq_quantizer.h"

#include <ATen/ops/randn.h>

#include <cmath>

#include "gear/nn/autocast.h"
#include "models/tokenizers/nearest_code.h"
#include "models/tokenizers/token_rows.h"

namespace gear::models {

FrozenTableImpl::FrozenTableImpl(int64_t rows, int64_t dim)
    : weight(register_buffer("weight",
                             at::randn({rows, dim}) / std::sqrt(static_cast<double>(dim)))) {}

SimVqQuantizer::SimVqQuantizer(const QuantizerConfig& config)
    : Quantizer(config),
      embedding(
          register_module("embedding", FrozenTable(config.codebook_size, config.codebook_dim))),
      embedding_proj(register_module(
          "embedding_proj", torch::nn::Linear(config.codebook_dim, config.codebook_dim))) {}

Quantized SimVqQuantizer::forward(const Tensor& z) {
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  return quantize_to_nearest(z, token_rows(z, config_.codebook_dim),
                             embedding_proj(embedding->weight), config_, is_training(), world_);
}

Tensor SimVqQuantizer::nearest_ids(const Tensor& z) {
  const at::NoGradGuard no_grad;
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  return nearest(
      squared_distances(token_rows(z, config_.codebook_dim), embedding_proj(embedding->weight)));
}

Tensor SimVqQuantizer::lookup(const Tensor& ids) {
  const nn::AutocastScope full_precision(ids.device().type(), /*enabled=*/false);
  return embedding_proj(embedding->weight.index_select(0, ids));
}

}  // namespace gear::models
