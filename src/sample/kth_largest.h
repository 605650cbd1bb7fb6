#pragma once

#include "gear/core/tensor.h"

// B rows, K values

namespace gear::sample {

/// The k-th largest value (from 1) of every row of a [B, K] float32 tensor, equal ones counted
/// apart: [B, 1]. NaN counts as larger than all numbers.
Tensor kth_largest(const Tensor& values, int64_t k);

}  // namespace gear::sample
