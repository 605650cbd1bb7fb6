#include "train/sharding/divided_build.h"

#include <memory>
#include <utility>

#include "train/sharding/sharded_unit.h"
#include "train/sharding/units.h"

namespace gear::train {
namespace {

/// Averages are built like what they are the average of: divided, one is as good as the other.
void divide(nn::KeptModule& module, const Parallel& parallel) {
  NamedTensors trainable;
  for (auto& parameter : own_parameters(module)) {
    if (parameter.second.requires_grad()) trainable.push_back(std::move(parameter));
  }
  if (trainable.empty()) return;
  module.set_keeper(
      std::make_shared<ShardedUnit>(std::move(trainable), UnitUse::kTrained, parallel));
}

}  // namespace

DividedBuild::DividedBuild(const Parallel& parallel, c10::Device device)
    : scope_([parallel, device](nn::KeptModule& module) {
        module.to(device);
        divide(module, parallel);
      }) {}

bool has_units(const Parallel& parallel) {
  // In deterministic mode one process does what several would.
  return !parallel.world.is_single() || parallel.config.deterministic;
}

bool divides_parameters(const Parallel& parallel) {
  return has_units(parallel) && parallel.config.shard == ShardMode::kFull;
}

}  // namespace gear::train
