#pragma once

#include "gear/ops/group_norm.h"

// B images, C channels, F: float32 for maps of float32 and bfloat16, else float64
// What touches every element of a map, for one device. All else about group normalisation is
// algebra on values by channel, the same for every device, in group_norm.cpp.

namespace gear::ops {

/// Maps x, grad, y: [B, C, H, W], all in the memory format of x, which is contiguous or
/// channels-last.
///   affine  [3, B, C] of F: centre, scale and shift by channel; h = (x - centre) * scale + shift
///   g       grad * activation'(h)
struct GroupNormKernels {
  /// [2, B, C] float64: sums by channel of x - origin and of its square; origin [B, C] float64.
  Tensor (*moments)(const Tensor& x, const Tensor& origin);
  /// y = activation(h)
  Tensor (*normalise)(const Tensor& x, const Tensor& affine, Activation activation);
  /// [2, B, C] float64: sums by channel of g and of g * (x - centre).
  Tensor (*gradient_sums)(const Tensor& x, const Tensor& grad, const Tensor& affine,
                          Activation activation);
  /// g * scale - (offset + slope * (x - centre)); line [2, B, C] of F: offset and slope by channel.
  Tensor (*input_gradient)(const Tensor& x, const Tensor& grad, const Tensor& affine,
                           const Tensor& line, Activation activation);
};

namespace cpu {
const GroupNormKernels& group_norm_kernels();
}
namespace cuda {
const GroupNormKernels& group_norm_kernels();
}

}  // namespace gear::ops
