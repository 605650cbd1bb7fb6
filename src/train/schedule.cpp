#include "gear/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gear::train {

double scheduled_lr(const OptimizerConfig& config, double base_lr, int64_t updates_done,
                    int64_t total_steps) {
  if (updates_done < config.warmup_steps) {
    return base_lr * static_cast<double>(updates_done) / static_cast<double>(config.warmup_steps);
  }
  if (config.schedule == Schedule::kConstant) return base_lr;
  const auto horizon = static_cast<double>(std::max<int64_t>(1, total_steps - config.warmup_steps));
  const double progress =
      std::min(1.0, static_cast<double>(updates_done - config.warmup_steps) / horizon);
  return config.lr_min +
         0.5 * (base_lr - config.lr_min) * (1.0 + std::cos(std::numbers::pi * progress));
}

}  // namespace gear::train
