#pragma once

#include <cstdint>
#include <string>

#include "gear/config/config.h"

namespace gear::train {

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
  std::string schedule = "constant";
  int64_t warmup_steps = 1;
  double lr_min = 0.0;
  double ema_decay = 0.9999;
  int64_t accumulation = 1;
  std::string on_nonfinite = "stop";

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
    v("schedule", schedule, "Learning rate after the warm-up.",
      config::one_of({"constant", "cosine"}));
    v("warmup_steps", warmup_steps,
      "Linear warm-up; the first update then has learning rate 0. 0: none.", config::at_least(0));
    v("lr_min", lr_min, "Final learning rate of the cosine schedule.", config::at_least(0));
    v("ema_decay", ema_decay, "Decay of the averaged weights.", config::in_range(0, 1));
    v("accumulation", accumulation, "Micro-batches per optimizer step.", config::at_least(1));
    v("on_nonfinite", on_nonfinite,
      "A NaN or infinite loss or gradient: stop the run, or skip the step (at most 10 in a row).",
      config::one_of({"stop", "skip"}));
  }
  void check(const config::Where& at) const {
    if (beta1 >= 1.0) fail(at("beta1"), "must be below 1, got ", beta1);
    if (beta2 >= 1.0) fail(at("beta2"), "must be below 1, got ", beta2);
  }
};

}  // namespace gear::train
