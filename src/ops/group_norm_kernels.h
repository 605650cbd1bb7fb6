#pragma once

#include "gear/ops/group_norm.h"

// B images, C channels in G groups, F: float32 for maps of float32 and bfloat16, else float64
// What the autograd function of group_norm expects from a device.

namespace gear::ops {

/// Checked arguments of group_norm.
struct GroupNormCall {
  Tensor x;       // [B, C, H, W], contiguous or channels-last
  Tensor weight;  // [C] of F, contiguous; or undefined
  Tensor bias;    // [C] of F, contiguous; or undefined
  GroupNormOptions options;
};

/// In float64: the rounding of a mean far above the deviation would shift the whole group.
struct GroupNormMoments {
  Tensor mean;  // [B, G]
  Tensor rstd;  // [B, G], 1 / sqrt(variance + eps)
};

struct GroupNormResult {
  Tensor y;  // like x
  GroupNormMoments moments;
};

struct GroupNormGradients {
  Tensor x;       // like x; undefined unless wanted
  Tensor weight;  // [C], from the kernels in float64
  Tensor bias;    // [C], likewise
};

/// The kernels of one device. `grad` lies in memory like x.
struct GroupNormKernels {
  GroupNormResult (*forward)(const GroupNormCall& call);
  /// The y of `forward`, from its moments.
  Tensor (*normalise)(const GroupNormCall& call, const GroupNormMoments& moments);
  GroupNormGradients (*backward)(const GroupNormCall& call, const GroupNormMoments& moments,
                                 const Tensor& grad, bool wants_x);
};

namespace cpu {
const GroupNormKernels& group_norm_kernels();
}
namespace cuda {
const GroupNormKernels& group_norm_kernels();
}

}  // namespace gear::ops
