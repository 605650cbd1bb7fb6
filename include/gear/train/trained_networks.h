#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gear/nn/gate.h"
#include "gear/train/run_config.h"

namespace gear::train {

/// A network that a run trains, for counting.
struct TrainedNetwork {
  std::string name;
  std::shared_ptr<nn::KeptModule> module;
  bool averaged = false;       ///< has a moving average
  int64_t forward_passes = 1;  ///< with a backward pass each, in a micro-batch
};

/// Builds the networks that `config` trains. Inside an nn::MetaScope they take no memory.
std::vector<TrainedNetwork> trained_networks(const RunConfig& config);

}  // namespace gear::train
