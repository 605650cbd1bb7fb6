#pragma once

#include "gear/core/tensor.h"

namespace gear::losses {

/// Cross-entropy of next-token prediction, mean over all B * L tokens, in float32. Scalar.
///   logits [B, L, K]   any float type
///   ids    [B, L] int64, position l holds the token that logits[:, l] predict
Tensor next_token_loss(const Tensor& logits, const Tensor& ids);

}  // namespace gear::losses
