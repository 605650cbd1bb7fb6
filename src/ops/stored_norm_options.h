#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include "gear/ops/group_norm.h"

/// GroupNormOptions in a node of a graph, from forward to backward.
namespace gear::ops {

inline void store(torch::autograd::AutogradContext* context, const GroupNormOptions& options) {
  auto& data = context->saved_data;
  data["groups"] = options.groups;
  data["eps"] = options.eps;
  data["silu"] = options.activation == Activation::kSilu;
}

inline GroupNormOptions stored_norm_options(torch::autograd::AutogradContext* context) {
  auto& data = context->saved_data;
  return {.groups = data["groups"].toInt(),
          .eps = data["eps"].toDouble(),
          .activation = data["silu"].toBool() ? Activation::kSilu : Activation::kNone};
}

}  // namespace gear::ops
