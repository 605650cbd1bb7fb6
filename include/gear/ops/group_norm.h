#pragma once

#include <cstdint>

#include "gear/core/tensor.h"

namespace gear::ops {

/// What follows the normalisation in the same pass.
enum class Activation { kNone, kSilu };

struct GroupNormOptions {
  int64_t groups = 32;
  double eps = 1e-6;  ///< added to the variance, > 0
  Activation activation = Activation::kNone;
};

/// Group normalisation and the activation behind it:
///   y = activation((x - mean) / sqrt(variance + eps) * weight + bias)
/// with mean and (biased) variance over the H * W * C / groups values of a group of channels of one
/// image.
///   x       [B, C, H, W]  float32, bfloat16 or float64
///   weight  [C]           of any floating type; undefined: 1
///   bias    [C]           likewise; undefined: 0
/// Returns shape, dtype and memory format of x (channels-last stays channels-last, without a copy).
/// bfloat16 is computed in float32 from the moments to the activation and rounded once. The moments
/// are summed in float64 from the first value of the group on (on CUDA 32 values at a time in
/// float32), in both memory formats: a mean far above the deviation costs no accuracy. The result
/// does not depend on the number of threads.
///
/// Differentiable once in x, weight and bias; asking for a second derivative is an error. Beside x,
/// which the caller's graph holds anyway, the backward pass keeps two numbers a group: not the
/// normalised map, and not the input of the activation.
/// Throws if the shapes or types do not fit. Source: arXiv:1803.08494.
Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const GroupNormOptions& options);

}  // namespace gear::ops
