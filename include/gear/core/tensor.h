#pragma once

#include <torch/types.h>

#include <initializer_list>
#include <string>

namespace gear {

using at::Tensor;

/// Throws Error "<what>: expected [a, b], got [c, d]" unless `tensor` has these sizes. A size of
/// -1 in `expected` accepts any.
void expect_sizes(const Tensor& tensor, at::IntArrayRef expected, const std::string& what);

/// "[16384, 768]"
std::string sizes_string(at::IntArrayRef sizes);

}  // namespace gear
