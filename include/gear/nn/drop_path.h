#pragma once

#include "gear/core/tensor.h"

namespace gear::nn {

/// Stochastic depth: in training each sample of the residual branch [B, ...] is dropped with
/// `probability` and the others are scaled by 1 / (1 - probability). Draws from the global
/// generator. Source: arXiv:1603.09382.
Tensor drop_path(const Tensor& branch, double probability, bool training);

}  // namespace gear::nn
