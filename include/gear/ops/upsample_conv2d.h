#pragma once

#include "gear/ops/conv2d.h"

// B images, C channels in, K channels out

namespace gear::ops {

/// A 3x3 convolution that keeps the size, of the map at twice its size (nearest neighbour):
/// [B, C, H, W] -> [B, K, 2 H, 2 W], with the values and the gradients of the two operations apart,
/// to the bit, under autocast too. Between the passes it keeps x alone; the larger map, four times
/// as large, is made once more in the backward pass.
///   weight  [K, C, 3, 3]
///   bias    [K], or undefined
/// Differentiable once in x, weight and bias. Throws as conv2d does.
Tensor upsample_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       ConvMethod method);

}  // namespace gear::ops
