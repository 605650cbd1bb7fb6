#include "gear/core/tensor.h"

#include "gear/core/error.h"

namespace gear {

std::string sizes_string(at::IntArrayRef sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(sizes[i]);
  }
  return text + "]";
}

void expect_sizes(const Tensor& tensor, at::IntArrayRef expected, const std::string& what) {
  const auto found = tensor.sizes();
  bool equal = found.size() == expected.size();
  for (size_t i = 0; equal && i < expected.size(); ++i) {
    equal = expected[i] == -1 || expected[i] == found[i];
  }
  if (!equal) {
    fail(what, ": expected ", sizes_string(expected), ", got ", sizes_string(found));
  }
}

}  // namespace gear
