#pragma once

#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>

#include "gear/core/tensor.h"

// The read-out by its definition, with all assignments at once: the truth for tests.
// T tokens, K codes

namespace gear::dense {

/// s = softmax(-cost / temperature), [T, K] -> [T, K].
inline Tensor soft_assignment(const Tensor& cost, double temperature) {
  return at::softmax(cost / -temperature, -1);
}

/// Straight-through variant: value onehot(ids), gradient of the soft assignment. [T, K].
inline Tensor straight_through_assignment(const Tensor& soft, const Tensor& ids) {
  const auto ones = at::ones({ids.size(0), 1}, soft.options());
  return (soft - soft.detach()).scatter_add_(1, ids.unsqueeze(1), ones);  // zeros plus ones
}

}  // namespace gear::dense
