#pragma once

#include <string>
#include <vector>

#include "gear/io/pickle.h"
#include "gear/io/weight_parts.h"
#include "gear/io/weights.h"

namespace gear::io {

/// The tensors of one map; entries that are not tensors (num_updates as an integer) are no weights.
TensorMap tensors_of(const PickleValue& dict);

/// Removes `_orig_mod.` components and leading `module.` from every name. Throws Error when two
/// names become one.
TensorMap without_wrappers(const TensorMap& tensors, const std::string& path);

/// The model of a Lightning state_dict, EMA shadows in the place of live tensors.
TensorMap lightning_model(const TensorMap& tensors, const std::string& path);

/// The same state_dict in the parts that WeightPart describes; only those that hold something.
std::vector<WeightPart> lightning_parts(WeightPart state_dict);

}  // namespace gear::io
