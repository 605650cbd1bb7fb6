#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include "gear/core/tensor.h"
#include "gear/ops/conv2d.h"

namespace gear::nn {

/// torch::nn::Conv2d with square kernels and zeros around, multiplied by ops::conv2d where its
/// stride is 1.
struct ConvolutionImpl : torch::nn::Conv2dImpl {
  using torch::nn::Conv2dImpl::Conv2dImpl;

  Tensor forward(const Tensor& x);  // [B, C, H, W] -> [B, K, H', W']

  int64_t padding() const;  // of zeros on each side, in pixels
};
TORCH_MODULE(Convolution);

/// 3x3 convolution, stride 1, that keeps the size.
Convolution conv3x3(int64_t in, int64_t out, bool bias = true);

/// How every Convolution of the process multiplies from now on; kDirect at the start. A setting of
/// the machine rather than of a network: a backward pass goes the way of its forward pass.
void set_conv_method(ops::ConvMethod method);
ops::ConvMethod conv_method();

}  // namespace gear::nn
