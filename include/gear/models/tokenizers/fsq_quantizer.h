#pragma once

#include "gear/models/tokenizers/quantizer.h"

// T tokens, K codes, D channels with L values each

namespace gear::models {

/// Finite scalar quantisation: each channel is bounded to the range of its L values by a shifted
/// tanh and rounded, straight-through. Codes are divided by L / 2 (rounded down), so they lie in
/// [-1, 1]. Channel 0 is the fastest digit of an id. The cost of a code is its squared distance
/// from the bounded latent; there is neither a codebook nor a commitment loss. The paper has no
/// entropy term either (entropy_ratio: 0). Source: arXiv:2309.15505, appendix A.1.
class FsqQuantizer final : public Quantizer {
 public:
  explicit FsqQuantizer(const QuantizerConfig& config) : Quantizer(config) {}

  Quantized forward(const Tensor& z) override;
  Tensor nearest_ids(const Tensor& z) override;
  Tensor lookup(const Tensor& ids) override;

 private:
  Tensor bounded(const Tensor& rows) const;   // latent -> the range of the digits, [T, D] both
  Tensor ids_of(const Tensor& digits) const;  // [T, D], 0 is the middle -> [T]
  Tensor codes_of(const Tensor& ids, at::ScalarType dtype) const;  // [T] -> [T, D] in [-1, 1]
  Tensor halves(const at::TensorOptions& options) const;           // L / 2 of each channel, [D]
};

}  // namespace gear::models
