#pragma once

#include "gear/dist/world.h"

namespace gear::dist {

/// The mean over ranks of a mean that each rank took over equally many samples. Its gradient goes
/// to this rank's share alone: with gradients averaged over ranks that is exactly the gradient of a
/// loss of the global mean (spec 01 section 5). A collective.
inline Tensor global_mean(const Tensor& local, const World& world) {
  if (world.is_single()) return local;
  const Tensor global = local.detach().clone();
  world.mean(global);
  return local + (global - local.detach());
}

}  // namespace gear::dist
