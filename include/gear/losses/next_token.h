#pragma once

#include "gear/core/tensor.h"

namespace gear::losses {

/// Cross-entropy of next-token prediction, mean over all B * L tokens, in float32. Scalar. The
/// logits, features times head^T, exist for a block of tokens at a time
/// (ops/linear_cross_entropy.h); under autocast their products are those of bfloat16.
///   features [B, L, D]  of the transformer, after its final norm
///   head     [K, D]     weight of its output layer
///   ids      [B, L] int64, position l holds the token that features[:, l] predict
Tensor next_token_loss(const Tensor& features, const Tensor& head, const Tensor& ids);

}  // namespace gear::losses
