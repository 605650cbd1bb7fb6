#pragma once

#include <vector>

#include "gear/core/tensor.h"

namespace gear::ops {

/// A parameter and what belongs to it: of one size and type (float32 or float64), dense, and alike
/// in memory.
struct AdamWTensors {
  Tensor parameter;
  Tensor gradient;
  Tensor exp_avg;
  Tensor exp_avg_sq;
  Tensor step;       ///< [] float32: number of this update, 1 for the first
  Tensor average{};  ///< moving average of the parameter; may be undefined
};

struct AdamWStep {
  double lr = 0.0;
  double beta1 = 0.0;
  double beta2 = 0.0;
  double eps = 0.0;
  double weight_decay = 0.0;
  double average_decay = 0.0;
  Tensor gradient_factor{};  ///< [] float32 on the device of the tensors; undefined: 1
};

/// One update of all of them, each value read and written once:
///   g = gradient_factor * gradient
///   p = p - lr * weight_decay * p
///   m = m + (1 - beta1) * (g - m)
///   v = beta2 * v + (1 - beta2) * g^2
///   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
///   average = average_decay * average + (1 - average_decay) * p
/// Source: arXiv:1711.05101. The gradients stay as they are. Of the average, the first product is
/// rounded before the sum, as in published code: with a decay near 1 a step changes few bits. On a
/// GPU nothing waits for the device.
void adamw_(const std::vector<AdamWTensors>& tensors, const AdamWStep& step);

}  // namespace gear::ops
