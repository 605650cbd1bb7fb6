#pragma once

#include <malloc.h>

#include <cstddef>

#include "gear/core/tensor.h"

namespace gear::ops {

/// Bytes that `operation` leaves allocated while its result lives.
template <class Operation>
size_t bytes_kept(const Operation& operation) {
  const auto in_use = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const size_t before = in_use();
  const Tensor y = operation();
  return in_use() - before;
}

}  // namespace gear::ops
