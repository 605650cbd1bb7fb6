#pragma once

#include <cstdint>

#include "gear/train/optimizer_config.h"

namespace gear::train {

/// Learning rate of the next update, in closed form from the number of updates already done: linear
/// from 0 to `base_lr` over config.warmup_steps (the first update of a warm-up has rate 0), then
///   constant  base_lr
///   cosine    lr_min + (base_lr - lr_min) (1 + cos(pi p)) / 2, p from 0 at the end of the warm-up
///             to 1 at `total_steps`, lr_min from there on
double scheduled_lr(const OptimizerConfig& config, double base_lr, int64_t updates_done,
                    int64_t total_steps);

}  // namespace gear::train
