#include "gear/train/nonfinite.h"

#include <ATen/ops/isfinite.h>

namespace gear::train {

std::string first_nonfinite(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined() || !tensor.is_floating_point()) continue;
    if (!at::isfinite(tensor).all().item<bool>()) return name;
  }
  return "";
}

}  // namespace gear::train
