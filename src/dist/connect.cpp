#include "dist/awaiting.h"
#include "dist/meeting.h"

namespace gear::dist {

World connect(const Placement& placement, const ConnectOptions& options) {
  if (placement.world_size == 1) return {};
  const Meeting meeting = meet(placement, options.timeout);
  auto group = std::make_shared<World::Group>();
  group->placement = placement;
  group->options = options;
  group->rank = placement.rank;
  group->size = placement.world_size;
  group->store = meeting.store;
  group->monitor = std::make_shared<Monitor>(placement, meeting.homes, options.timeout);
  group->backend = awaiting(*group, [&] { return make_backend(*group); });
  return World(std::move(group));
}

}  // namespace gear::dist
