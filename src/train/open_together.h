#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "gear/dist/world.h"
#include "gear/train/checkpoint.h"

namespace gear::train {

/// What `action` returns on the first rank; what it throws there, all ranks throw. A collective.
std::string told_by_first(const dist::World& world, const std::function<std::string()>& action);

/// The same for an action without a result.
void first_rank_does(const dist::World& world, const std::function<void()>& action);

/// Fails on all ranks, because `rank` does not see what the first one sees: `what` in `folder`. A
/// collective.
[[noreturn]] void fail_not_shared(const dist::World& world, int64_t rank,
                                  const std::filesystem::path& folder, const std::string& what);

/// Opens a checkpoint that the first rank sees, each rank verifying its share of the bytes. All
/// ranks return, or all throw the same: DamagedCheckpoint, or Error as the constructor of
/// Checkpoint does. A collective.
Checkpoint open_verified(const std::filesystem::path& folder, const dist::World& world);

}  // namespace gear::train
