#pragma once

#include <torch/nn/modules/linear.h>

#include "gear/models/tokenizers/quantizer.h"

// K codes, D code width

namespace gear::models {

/// A random table that stays as it was drawn: N(0, 1 / D). Its state is a buffer, `weight` [K, D].
struct FrozenTableImpl : torch::nn::Module {
  FrozenTableImpl(int64_t rows, int64_t dim);

  Tensor weight;
};
TORCH_MODULE(FrozenTable);

/// Nearest code by squared distance, where the codes are a frozen random table behind one trained
/// linear layer: each step moves all codes, so none dies. The paper has no entropy term
/// (entropy_ratio: 0). Source: arXiv:2411.02038.
class SimVqQuantizer final : public Quantizer {
 public:
  explicit SimVqQuantizer(const QuantizerConfig& config);

  Quantized forward(const Tensor& z) override;
  Tensor nearest_ids(const Tensor& z) override;
  Tensor lookup(const Tensor& ids) override;
  std::vector<std::string> constants() const override { return {"embedding.weight"}; }

  FrozenTable embedding;
  torch::nn::Linear embedding_proj;  // D -> D
};

}  // namespace gear::models
