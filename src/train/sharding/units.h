#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "gear/nn/gate.h"
#include "gear/train/state.h"

namespace gear::train {

/// Parameters that are brought together at once: those of a block, or of no block.
struct NetworkUnit {
  nn::GatedModule* block = nullptr;  ///< null: what is in no block
  NamedTensors parameters;
};

/// The parameters `names` of a network in units: its blocks in their order, then the rest.
std::vector<NetworkUnit> units_of(torch::nn::Module& network,
                                  const std::vector<std::string>& names);

/// Names of the parameters that require a gradient.
std::vector<std::string> trainable_names(const torch::nn::Module& network);

}  // namespace gear::train
