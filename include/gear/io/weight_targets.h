#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gear/io/weights.h"

namespace gear::io {

/// Elements of a tensor that a process holds: from `offset` on, flattened row by row.
struct WeightSlice {
  std::vector<int64_t> shape;  ///< of the whole tensor
  int64_t offset = 0;
};

/// What a tensor of a file is copied to: a parameter or buffer, or the piece of one.
struct WeightTarget {
  std::string name;
  at::Tensor tensor;
  bool may_be_missing = false;  ///< in the file; the tensor then keeps its values
  std::optional<WeightSlice> slice = {};

  at::IntArrayRef shape() const { return slice ? at::IntArrayRef(slice->shape) : tensor.sizes(); }
};

/// assign_weights() for targets by name rather than for a module. Of a piece only its own elements
/// are read, where the file holds them row by row.
AssignReport assign_weights(const std::vector<WeightTarget>& targets, const TensorMap& tensors,
                            const std::string& source, const std::string& prefix = {});

}  // namespace gear::io
