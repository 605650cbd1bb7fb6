#pragma once

#include <optional>

#include "gear/data/loader.h"
#include "gear/dist/world.h"

namespace gear::eval {

/// The next pictures of a set that each rank of `world` reads as a whole; nothing after the last
/// ones. When a rank cannot read them, or reads others than the first rank, all throw its sentence.
/// A collective.
std::optional<data::Batch> next_of_all(data::ValidationLoader& loader, const dist::World& world);

}  // namespace gear::eval
