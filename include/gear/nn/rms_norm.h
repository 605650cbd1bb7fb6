#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "gear/core/tensor.h"

namespace gear::nn {

/// weight * x / sqrt(mean(x^2) + eps) over the last dimension, statistics in float32.
/// Source: arXiv:1910.07467.
struct RmsNormImpl : torch::nn::Module {
  RmsNormImpl(int64_t dim, double eps);
  Tensor forward(const Tensor& x);  // [..., C], same out

  double eps;
  Tensor weight;  // [C]
};
TORCH_MODULE(RmsNorm);

}  // namespace gear::nn
