#pragma once

#include <torch/types.h>

#include "fuzz/targets.h"

namespace gear::fuzz {

/// Reads every element of `tensor`, and checks that a parser has given it no more than its storage.
inline void read_tensor(const at::Tensor& tensor) {
  constexpr int64_t kMostElements = 1'000'000;  // a stride of zero may show one many times
  const auto needed =
      at::detail::computeStorageNbytes(tensor.sizes(), tensor.strides(), tensor.itemsize(),
                                       static_cast<size_t>(tensor.storage_offset()));
  expect(needed <= tensor.storage().nbytes() || tensor.numel() == 0,
         "a tensor lies within its storage");
  expect(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % tensor.itemsize() == 0,
         "elements are aligned");
  if (tensor.numel() > kMostElements) return;
  expect(tensor.clone().sizes() == tensor.sizes(), "a copy has the shape of its tensor");
}

}  // namespace gear::fuzz
