#pragma once

#include <functional>
#include <vector>

#include "gear/core/tensor.h"

namespace gear::nn {

/// Runs `segment(x)` without keeping what happens inside; the backward pass computes it again, with
/// the same random numbers and the same autocast setting, so results and gradients are bit-equal to
/// a plain call. Without gradients it is a plain call.
///   parameters  every tensor beside x that the segment uses and that may need a gradient
/// `segment` must stay callable until the backward pass is done.
Tensor checkpoint(std::function<Tensor(const Tensor&)> segment, const Tensor& x,
                  const std::vector<Tensor>& parameters);

}  // namespace gear::nn
