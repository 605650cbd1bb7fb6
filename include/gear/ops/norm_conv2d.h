#pragma once

#include "gear/ops/conv2d.h"
#include "gear/ops/group_norm.h"

// B images, C channels in, K channels out, k taps per side

namespace gear::ops {

/// Parameters of the two operations.
struct NormConv2dParameters {
  Tensor norm_weight;  ///< [C]
  Tensor norm_bias;    ///< [C]
  Tensor weight;       ///< [K, C, k, k]
  Tensor bias;         ///< [K], or undefined: 0
};

struct NormConv2dOptions {
  GroupNormOptions norm;
  int64_t padding = 1;  ///< as in conv2d
  ConvMethod method = ConvMethod::kDirect;
};

/// conv2d(group_norm(x)) as one operation: [B, C, H, W] -> [B, K, H', W'], with the values and the
/// gradients of the two apart, to the bit, under autocast too.
///
/// Apart they keep x and the normalised map, which is as large. Here x alone is kept, and the
/// backward pass normalises it once more: one more pass over the map against half of the memory of
/// a convolutional network.
///
/// Differentiable once in x and the parameters. Throws as conv2d and group_norm do.
Tensor norm_conv2d(const Tensor& x, const NormConv2dParameters& parameters,
                   const NormConv2dOptions& options);

}  // namespace gear::ops
