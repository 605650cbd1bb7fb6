#pragma once

#include <map>
#include <string>

#include "gear/io/torch_archive.h"
#include "gear/io/weights.h"

namespace gear::io {

/// The dictionaries of tensors at the top of a torch file by their keys ("vq", "ema", "model"), the
/// tensors at the top itself under "". What load_tensors does to names is done: wrappers are
/// removed, and a Lightning `state_dict` becomes the model with its averaged weights. Dictionaries
/// without a tensor directly in them (arguments, optimizers) are left out. WeightFile
/// (weight_parts.h) tells all that a file holds, with the names that it has.
std::map<std::string, TensorMap> tensor_sections(const TorchArchive& archive);

}  // namespace gear::io
