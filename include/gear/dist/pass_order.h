#pragma once

#include <cstdint>
#include <vector>

#include "gear/dist/world.h"

namespace gear::dist {

/// What all ranks recorded over `passes` passes, equally many tensors of equal sizes in each, in
/// the order in which one process would have recorded them: pass by pass, rank by rank within a
/// pass. A collective.
std::vector<Tensor> in_pass_order(const std::vector<Tensor>& own, int64_t passes,
                                  const World& world);

}  // namespace gear::dist
