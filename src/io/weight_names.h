#pragma once

#include <string>

#include "gear/io/weights.h"

namespace gear::io {

/// Removes `_orig_mod.` components and leading `module.` from every name. Throws Error when two
/// names become one.
TensorMap without_wrappers(const TensorMap& tensors, const std::string& path);

/// The model of a Lightning state_dict, EMA shadows in the place of live tensors.
TensorMap lightning_model(const TensorMap& tensors, const std::string& path);

}  // namespace gear::io
