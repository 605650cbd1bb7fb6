#pragma once

#include <string>

#include "gear/core/error.h"
#include "gear/train/state.h"

namespace gear::train {

/// A loss or gradient was NaN or infinite; the message names the first bad tensor.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

/// Name of the first tensor with a NaN or infinite element, or "". Integers and undefined tensors
/// are skipped. Reads the device once per tensor: for use after something went wrong.
std::string first_nonfinite(const NamedTensors& tensors);

}  // namespace gear::train
