#pragma once

#include <torch/types.h>

#include <cstdint>

namespace gear::cli {

/// How many values of a tensor are no numbers.
struct NonFinite {
  int64_t nan = 0;
  int64_t inf = 0;

  int64_t total() const { return nan + inf; }
  NonFinite& operator+=(const NonFinite& other);
};

/// Integers and booleans have none. Memory for a few MiB beside the tensor, however large.
NonFinite count_nonfinite(const at::Tensor& values);

/// How two tensors of one shape differ; their dtypes may.
struct Difference {
  bool same_bits = true;      ///< and dtypes
  double largest = 0.0;       ///< absolute; NaN when only one of them has a NaN in a place
  double squared = 0.0;       ///< sum of squared differences
  double squared_norm = 0.0;  ///< of the first tensor
  /// L2 norm of the difference by that of the first tensor; infinite when only that is 0.
  double relative() const;
  Difference& operator+=(const Difference& other);
};

/// Two NaNs agree. Complex numbers are compared by their parts.
Difference compare_values(const at::Tensor& first, const at::Tensor& second);

}  // namespace gear::cli
