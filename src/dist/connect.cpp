#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "dist/group.h"
#include "gear/core/error.h"

namespace gear::dist {
namespace {

Store meet(const Placement& placement, std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = placement.master_port;
  options.isServer = placement.rank == 0;
  options.numWorkers = static_cast<size_t>(placement.world_size);
  options.waitWorkers = true;
  options.timeout = timeout;
  return c10::make_intrusive<c10d::TCPStore>(placement.master_address, options);
}

}  // namespace

World connect(const Placement& placement, const ConnectOptions& options) {
  if (placement.world_size == 1) return {};
  const std::string address =
      placement.master_address + ":" + std::to_string(placement.master_port);
  auto group = std::make_shared<World::Group>();
  group->placement = placement;
  group->options = options;
  group->rank = placement.rank;
  group->size = placement.world_size;
  try {
    group->store = c10::make_intrusive<c10d::PrefixStore>("gear", meet(placement, options.timeout));
    group->backend = make_backend(group->store, group->rank, group->size, options);
  } catch (const c10::Error& error) {
    fail("rank ", placement.rank, " of ", placement.world_size, ": cannot meet the others at ",
         address, " (", error.what_without_backtrace(),
         "); check that all ranks were started and that the address can be reached");
  }
  return World(std::move(group));
}

}  // namespace gear::dist
