#pragma once

#include <array>
#include <cstdint>

#include "gear/config/config.h"

namespace gear::train {

enum class Schedule { kConstant, kCosine };
enum class OnNonfinite { kStop, kSkip, kRollback };

/// AdamW, one learning rate for each of the three optimizers. Spec 03 section 6.
struct OptimizerConfig {
  double tokenizer_lr = 1e-4;
  double discriminator_lr = 1e-4;
  double ar_lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  double max_grad_norm = 1.0;
  Schedule schedule = Schedule::kConstant;
  int64_t warmup_steps = 1;
  double lr_min = 0.0;
  double ema_decay = 0.9999;
  int64_t accumulation = 1;
  OnNonfinite on_nonfinite = OnNonfinite::kStop;

  template <class Visitor>
  void fields(Visitor& v) {
    v("tokenizer_lr", tokenizer_lr, "Learning rate of the tokenizer.", config::at_least(0));
    v("discriminator_lr", discriminator_lr, "Learning rate of the discriminator.",
      config::at_least(0));
    v("ar_lr", ar_lr, "Learning rate of transformer and projector.", config::at_least(0));
    v("beta1", beta1, "AdamW beta1.", config::in_range(0, 1));
    v("beta2", beta2, "AdamW beta2.", config::in_range(0, 1));
    v("eps", eps, "AdamW epsilon.", config::greater_than(0));
    v("weight_decay", weight_decay, "Decoupled weight decay.", config::at_least(0));
    v("max_grad_norm", max_grad_norm,
      "Global L2 norm to which the gradients of each optimizer are clipped.",
      config::greater_than(0));
    v("schedule", schedule, "Learning rate after the warm-up.");
    v("warmup_steps", warmup_steps,
      "Linear warm-up; the first update then has learning rate 0. 0: none, which is what the "
      "published recipe ar (stage 2) has.",
      config::in_range(0, 1e9));
    v("lr_min", lr_min, "Final learning rate of the cosine schedule.", config::at_least(0));
    v("ema_decay", ema_decay, "Decay of the averaged weights.", config::in_range(0, 1));
    v("accumulation", accumulation, "Micro-batches per optimizer step.", config::in_range(1, 1e6));
    v("on_nonfinite", on_nonfinite,
      "A NaN or infinite loss or gradient: stop the run; skip the step; or rollback, go back to the "
      "newest checkpoint and try again, leaving out a step that fails twice. At most 10 steps in a "
      "row are left out.");
  }
  void check(const config::Where& at) const {
    if (beta1 >= 1.0) fail(at("beta1"), "must be below 1, got ", beta1);
    if (beta2 >= 1.0) fail(at("beta2"), "must be below 1, got ", beta2);
  }
};

}  // namespace gear::train

template <>
struct gear::config::EnumNames<gear::train::Schedule> {
  static constexpr std::array<const char*, 2> value = {"constant", "cosine"};
};
template <>
struct gear::config::EnumNames<gear::train::OnNonfinite> {
  static constexpr std::array<const char*, 3> value = {"stop", "skip", "rollback"};
};
