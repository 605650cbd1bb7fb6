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
  Tensor costs(const Tensor& rows) const;  // -<z, e> of [T, D], cosines where configured: [T, K]
};

/// Codes of `ids` in value. The gradient is that of onehot(ids) - sg(p) + p times the codes, with
/// p = softmax(-cost): to the codes through onehot(ids), to the cost through p. The one-hot matrix
/// is never made, and p is computed again in the backward pass.
///   cost [T, K], codes [K, D], ids [T] -> [T, D]
Tensor back_propagated_codes(const Tensor& cost, const Tensor& codes, const Tensor& ids);

}  // namespace gear::models
