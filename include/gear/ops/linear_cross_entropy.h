#pragma once

#include "gear/core/tensor.h"

// T tokens, C model width, K classes

namespace gear::ops {

struct LinearCrossEntropyOptions {
  int64_t ignored_target = -100;   ///< rows with this target count neither as loss nor in the mean
  bool bfloat16_products = false;  ///< matrix products in bfloat16; softmax and sums in float32
};

/// Mean cross-entropy of the logits x weight^T, fused with that product: logits exist for a block
/// of tokens at a time (16 MiB of float32), never for all of them.
///   x        [T, C] float32, float64 or bfloat16
///   weight   [K, C] float32 (with bfloat16 x too) or float64
///   targets  [T] int64, 0 to K - 1 or ignored_target
/// Returns a scalar in the type of `weight`; NaN when all rows are ignored, as the mean of nothing.
/// Differentiable in x and weight, once: both gradients are taken beside the loss, while the block
/// of logits is at hand, so backward costs one scaling and the product is never computed again.
/// Throws Error for a target that is no class.
Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets,
                            const LinearCrossEntropyOptions& options = {});

}  // namespace gear::ops
