#pragma once

#include "gear/dist/world.h"
#include "gear/train/sharding/parallel_config.h"

namespace gear::train {

/// The ranks of a run, and how they divide the networks. By default this process alone.
struct Parallel {
  ParallelConfig config{};
  dist::World world{};     ///< all ranks; each has micro-batches of its own
  dist::World parts{};     ///< the ranks that together hold one copy of what is divided
  dist::World replicas{};  ///< the ranks that hold the same part
};

/// A collective.
Parallel make_parallel(const dist::World& world, const ParallelConfig& config);

}  // namespace gear::train
