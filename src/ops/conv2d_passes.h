#pragma once

#include "gear/ops/conv2d.h"

// B images, C channels in, K channels out, k taps per side
// The passes of a convolution of stride 1, for autograd functions that contain one. Nothing here
// records a graph, and all tensors have one type: mixed precision is the caller's business.

namespace gear::ops {

/// Throws unless the shapes fit together.
void check_conv2d(const Tensor& x, const Tensor& weight, int64_t padding);

/// The method to take where `wanted` is asked for: the direct one wherever Winograd's does not fit.
ConvMethod fitting_method(const Tensor& x, const Tensor& weight, ConvMethod wanted);

/// x [B, C, H, W], weight [K, C, k, k], bias [K] or undefined -> [B, K, H', W'].
Tensor conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding,
                      ConvMethod method);

struct Conv2dWanted {
  bool x, weight, bias;
};

/// Undefined where not wanted.
struct Conv2dGradients {
  Tensor x;       // [B, C, H, W]
  Tensor weight;  // [K, C, k, k]
  Tensor bias;    // [K]
};

/// grad [B, K, H', W']; x may be undefined unless the gradient of the weight is wanted by
/// Winograd's method or any gradient by the direct one.
Conv2dGradients conv2d_backward(const Tensor& grad, const Tensor& x, const Tensor& weight,
                                int64_t padding, ConvMethod method, const Conv2dWanted& wanted);

}  // namespace gear::ops
