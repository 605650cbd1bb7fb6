#pragma once

#include <ATen/autocast_mode.h>

#include "gear/core/tensor.h"

namespace gear::ops {

/// The type in which a convolution of x multiplies: that of mixed precision where it is on.
inline at::ScalarType product_type(const Tensor& x) {
  const auto device = x.device().type();
  const bool casts = at::autocast::is_autocast_enabled(device) && x.scalar_type() != at::kDouble;
  return casts ? at::autocast::get_autocast_dtype(device) : x.scalar_type();
}

/// An undefined tensor stays undefined.
inline Tensor cast(const Tensor& tensor, at::ScalarType type) {
  return tensor.defined() ? tensor.to(type) : tensor;
}

}  // namespace gear::ops
