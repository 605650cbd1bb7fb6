#pragma once

#include <string>
#include <vector>

#include "gear/nn/gate.h"
#include "gear/train/state.h"

namespace gear::train {

/// Parameters that are brought together at once: those of a block, or of no block.
struct NetworkUnit {
  nn::KeptModule* module = nullptr;
  std::string prefix{};  ///< of the block's names, "layers.3."; empty: what is in no block
  NamedTensors parameters{};

  bool is_root() const { return prefix.empty(); }
};

/// The parameters `names` of a network in units: its blocks in their order, then the rest.
std::vector<NetworkUnit> units_of(nn::KeptModule& network, const std::vector<std::string>& names);

/// The parameters of a module that are in no kept module inside it, named after `prefix`.
NamedTensors own_parameters(const torch::nn::Module& module, const std::string& prefix = {});

std::vector<std::string> parameter_names(const torch::nn::Module& network);
/// Names of the parameters that require a gradient.
std::vector<std::string> trainable_names(const torch::nn::Module& network);

}  // namespace gear::train
