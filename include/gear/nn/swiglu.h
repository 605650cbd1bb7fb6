#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "gear/core/tensor.h"

namespace gear::nn {

/// Gated MLP without biases: w2(silu(w1 x) * w3 x). Source: arXiv:2002.05202.
struct SwiGluImpl : torch::nn::Module {
  SwiGluImpl(int64_t dim, int64_t hidden);
  Tensor forward(const Tensor& x);  // [B, N, C], same out

  torch::nn::Linear w1, w3, w2;
};
TORCH_MODULE(SwiGlu);

}  // namespace gear::nn
