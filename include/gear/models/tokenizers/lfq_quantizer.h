#pragma once

#include "gear/models/tokenizers/quantizer.h"

// T tokens, D channels, G groups of D / G bits, K = 2^(D / G) codes of a group; G = 1 for kind lfq

namespace gear::models {

/// Lookup-free quantisation: one bit per channel, +1 where the latent is above zero and -1
/// elsewhere, zero included. Bit i of an id is channel i of its group. The cost of a code is -2 <z,
/// code>, and there is no codebook loss. With groups (kind glfq) ids, costs and entropies are those
/// of each group. The table of codes is computed, never stored. Source: arXiv:2310.05737,
/// arXiv:2409.04410.
class LfqQuantizer final : public Quantizer {
 public:
  explicit LfqQuantizer(const QuantizerConfig& config);

  Quantized forward(const Tensor& z) override;
  Tensor nearest_ids(const Tensor& z) override;  // [T * G]
  Tensor lookup(const Tensor& ids) override;     // [T * G] -> [T, D]

 private:
  std::vector<ops::Readout> read_groups(const ops::Costs& costs) const;

  int64_t bits_;  // of a group
};

}  // namespace gear::models
