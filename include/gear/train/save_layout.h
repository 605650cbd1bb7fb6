#pragma once

#include <cstdint>
#include <string>

#include "gear/dist/world.h"
#include "gear/train/sharding/parallel.h"

namespace gear::train {

/// Which ranks write and read a checkpoint together, and how its tensors are divided among them.
struct SaveLayout {
  dist::World world{};
  /// Hybrid sharding: `replicas` ranks hold equal copies of the same pieces, this one is number
  /// `replica` of them.
  int64_t replica = 0;
  int64_t replicas = 1;
  std::string shard_mode = "none";  ///< parallel.shard, as the manifest tells it
};

/// The layout of a run whose state is divided like this.
SaveLayout save_layout(const Parallel& parallel);

}  // namespace gear::train
