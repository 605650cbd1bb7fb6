#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gear/io/safetensors.h"

namespace gear::io {

/// What a safetensors file tells of a tensor besides its values.
struct TensorOutline {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;

  uint64_t bytes() const;
};

/// Where everything stands in a safetensors file, known before any of it is written: several
/// writers that agree on the outlines can each put their part in its place.
struct SafetensorsLayout {
  std::string head;              ///< the first bytes of the file: length of the header, header
  std::vector<uint64_t> begins;  ///< byte of the file where each tensor begins, in the given order
  uint64_t bytes = 0;            ///< of the whole file
};

/// The header lists the tensors in the given order; the data stands by falling element size, so
/// that every tensor is aligned. Throws Error, which begins with `path`, for a name that occurs
/// twice and for a dtype that the format has no name for.
SafetensorsLayout safetensors_layout(const std::string& path,
                                     const std::vector<TensorOutline>& tensors,
                                     const Metadata& metadata);

}  // namespace gear::io
