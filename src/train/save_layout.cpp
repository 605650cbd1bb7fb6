#include "gear/train/save_layout.h"

namespace gear::train {

SaveLayout save_layout(const Parallel& parallel) {
  const bool divided = parallel.config.shard != ShardMode::kNone;
  return {.world = parallel.world,
          .replica = divided ? parallel.replicas.rank() : 0,
          .replicas = divided ? parallel.replicas.size() : 1,
          .shard_mode = config::detail::format(parallel.config.shard)};
}

}  // namespace gear::train
