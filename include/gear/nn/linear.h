#pragma once

#include <torch/nn/modules/linear.h>

#include <cstdint>

namespace gear::nn {

inline torch::nn::Linear linear_no_bias(int64_t in_dim, int64_t out_dim) {
  return torch::nn::Linear(torch::nn::LinearOptions(in_dim, out_dim).bias(false));
}

}  // namespace gear::nn
