#pragma once

#include <optional>

#include "gear/core/tensor.h"

namespace gear::ops {

/// For the arguments of an autograd function, where an undefined tensor would be taken for a
/// variable; an empty optional is not.
inline std::optional<Tensor> optional(const Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

}  // namespace gear::ops
