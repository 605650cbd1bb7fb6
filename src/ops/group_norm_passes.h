#pragma once

#include "ops/group_norm_kernels.h"

// B images, C channels in G groups
// The passes of group_norm for operations that contain it. Nothing here records a graph.

namespace gear::ops {

/// Throws unless shapes, types and options fit together.
void check_group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const GroupNormOptions& options);

GroupNormResult group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                   const GroupNormOptions& options);

/// The result of group_norm_forward once more, to the bit, from the moments that it found.
Tensor group_norm_again(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const GroupNormOptions& options, const GroupNormMoments& moments);

/// Gradients in the types of x, weight and bias; undefined for what is undefined or not wanted.
GroupNormGradients group_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                       const GroupNormOptions& options,
                                       const GroupNormMoments& moments, const Tensor& grad,
                                       bool wants_x);

}  // namespace gear::ops
