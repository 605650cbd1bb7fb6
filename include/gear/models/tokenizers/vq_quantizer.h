#pragma once

#include <torch/nn/modules/embedding.h>

#include "gear/models/tokenizers/quantizer.h"

namespace gear::models {

/// Nearest code by squared Euclidean distance, by default on the unit sphere. The stored table need
/// not have unit norm: it is normalised once in each forward. Source: arXiv:2110.04627.
class VqQuantizer final : public Quantizer {
 public:
  explicit VqQuantizer(const QuantizerConfig& config);

  Quantized forward(const Tensor& z) override;
  Tensor nearest_ids(const Tensor& z) override;
  Tensor lookup(const Tensor& ids) override;

  torch::nn::Embedding embedding;  // [K, D]

 private:
  Tensor on_sphere(const Tensor& rows) const;  // unit rows where the config asks for them
};

}  // namespace gear::models
