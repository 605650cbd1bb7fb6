#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gear/io/pickle.h"
#include "gear/io/weight_parts.h"
#include "gear/io/weights.h"

namespace gear::io {

/// Tensors of a torch file whose values were not asked for yet.
using PickledMap = std::map<std::string, std::shared_ptr<const PickledTensor>>;

/// The tensors of one map; entries that are not tensors (num_updates as an integer) are no weights.
PickledMap tensors_of(const PickleValue& dict);

TensorMap values_of(const PickledMap& tensors);

/// Removes `_orig_mod.` components and leading `module.` from every name. Throws Error when two
/// names become one.
TensorMap without_wrappers(const TensorMap& tensors, const std::string& path);

/// The tensors of the dictionary under `key` at the top of a torch file. Of a Lightning state_dict
/// those of the model, EMA shadows in the place of live tensors.
PickledMap section_tensors(const std::string& key, const PickleValue& dict,
                           const std::string& path);

/// The same state_dict in the parts that WeightPart describes; only those that hold something.
std::vector<WeightPart> lightning_parts(WeightPart state_dict);

}  // namespace gear::io
