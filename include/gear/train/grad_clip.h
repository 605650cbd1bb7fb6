#pragma once

#include <vector>

#include "gear/core/tensor.h"
#include "gear/dist/world.h"
#include "gear/train/adamw.h"

namespace gear::train {

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)), where norm is the L2 norm over all of
/// them. Returns that norm (before clipping) as a 0-d tensor on the device; nothing waits for it.
/// Parameters without a gradient are skipped; with no gradient at all the norm is 0.
Tensor clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm);

/// The same, then reads the norm: throws NonFiniteError naming the first parameter whose gradient
/// is NaN or infinite.
Tensor clip_and_check(const std::vector<NamedParameter>& parameters, double max_norm);

/// The same for the parameters of an optimizer, which scales their gradients in its next step. Each
/// rank may hold a piece of a parameter: `norms` are those of the gradients of whole ones, equal on
/// all ranks of `world`. A collective, and it throws on all ranks.
Tensor clip_and_check(AdamW& optimizer, const std::vector<Tensor>& norms, double max_norm,
                      const dist::World& world);

}  // namespace gear::train
