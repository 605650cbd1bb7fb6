#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "gear/core/tensor.h"

namespace gear {

/// Largest difference between the gradient of `f` at x and central differences.
inline double gradient_error(const std::function<Tensor()>& f, Tensor x) {
  x.mutable_grad() = Tensor();
  f().backward();
  const Tensor analytic = x.grad().clone().flatten();
  const at::NoGradGuard no_grad;
  const Tensor flat = x.view(-1);
  constexpr double kStep = 1e-6;
  double worst = 0.0;
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const double at_x = flat[i].item<double>();
    flat[i] = at_x + kStep;
    const double above = f().item<double>();
    flat[i] = at_x - kStep;
    const double below = f().item<double>();
    flat[i] = at_x;
    const double numeric = (above - below) / (2 * kStep);
    worst = std::max(worst, std::abs(numeric - analytic[i].item<double>()));
  }
  return worst;
}

}  // namespace gear
