#pragma once

#include <torch/nn/modules/embedding.h>

#include "gear/models/tokenizers/quantizer.h"

// T tokens, K codes, D code width

namespace gear::models {

/// Index back-propagation: the code of the largest inner product, with the gradient of the softmax
/// over all of them, so that every loss on z_q trains the whole codebook. Its codebook loss is
/// mse(z_q, z) + mse(sg(e), z) + commit_weight * mse(e, sg(z)) with e the chosen code; the first
/// term has no stop-gradient, and no commitment loss is beside it. Source: arXiv:2412.02692.
class IbqQuantizer final : public Quantizer {
 public:
  explicit IbqQuantizer(const QuantizerConfig& config);

  Quantized forward(const Tensor& z) override;
  Tensor nearest_ids(const Tensor& z) override;
  Tensor lookup(const Tensor& ids) override;

  torch::nn::Embedding embedding;  // [K, D]

 private:
  ops::Costs costs(const Tensor& rows) const;  // -<z, e> of [T, D], cosines where configured
};

}  // namespace gear::models
