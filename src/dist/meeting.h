#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "dist/group.h"
#include "dist/rank_sign.h"

namespace gear::dist {

/// What ranks know of each other before any collective.
struct Meeting {
  Store store;  // of this run alone
  std::vector<RankHome> homes;
};

/// Waits until all ranks are in the store at the meeting place; rank 0 serves it unless the
/// launcher does. Throws Error when the port is in use or a rank is there twice, LostRank naming
/// those that have not come in time.
Meeting meet(const Placement& placement, std::chrono::milliseconds timeout);

/// A further connection to the store of the run. Throws when nobody listens there; never returns
/// while the process that serves it is stopped.
Store reach_store(const Placement& placement);

std::string key_of_sign(int64_t rank);

}  // namespace gear::dist
