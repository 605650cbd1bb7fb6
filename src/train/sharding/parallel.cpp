#include "gear/train/sharding/parallel.h"

namespace gear::train {

Parallel make_parallel(const dist::World& world, const ParallelConfig& config) {
  Parallel parallel{.config = config, .world = world, .parts = {}, .replicas = {}};
  if (config.shard == ShardMode::kNone) {
    parallel.replicas = world;
  } else if (config.within_node) {
    const dist::Placement& place = world.placement();
    parallel.parts = world.split(place.rank - place.local_rank);  // the first rank of the machine
    parallel.replicas = world.split(place.local_rank);
  } else {
    parallel.parts = world;
  }
  return parallel;
}

}  // namespace gear::train
