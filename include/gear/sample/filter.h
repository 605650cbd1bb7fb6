#pragma once

#include <cstdint>

#include "gear/core/tensor.h"

// B images, K codes

namespace gear::sample {

/// Which of the codes may be drawn. The defaults keep all.
struct FilterOptions {
  double temperature = 1.0;  ///< at least 1e-5 is used
  int64_t top_k = 0;         ///< keep the k largest and all that tie with the k-th; 0: off
  double top_p = 1.0;        ///< keep up to and including the first that passes this mass; 1: off
};

/// logits [B, K] float32 -> logits / temperature [B, K] with dropped codes at -infinity. First
/// top-k, then top-p over what is left; at least one code stays. Which of several equal codes top-p
/// keeps is left to the sort.
Tensor filter_logits(const Tensor& logits, const FilterOptions& options);

}  // namespace gear::sample
