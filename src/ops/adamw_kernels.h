#pragma once

#include <cmath>

#include "gear/ops/adamw.h"

// The arithmetic of one value, the same for every device. C++17, for nvcc.

#ifdef __CUDACC__
#define GEAR_ADAMW_INLINE __host__ __device__ inline
#else
#define GEAR_ADAMW_INLINE inline __attribute__((always_inline))
#endif

namespace gear::ops {

struct AdamWScalars {
  explicit AdamWScalars(const AdamWStep& step)
      : lr(step.lr),
        beta1(step.beta1),
        beta2(step.beta2),
        eps(step.eps),
        weight_decay(step.weight_decay),
        average_decay(step.average_decay) {}

  double lr, beta1, beta2, eps, weight_decay, average_decay;
};

/// What all values of a tensor share, in its type F.
template <class F>
struct AdamWFactors {
  F gradient, keep, first, second, second_rest, step_size, second_root, eps, average, average_rest;
};

template <class F>
GEAR_ADAMW_INLINE AdamWFactors<F> adamw_factors(const AdamWScalars& s, double gradient_factor,
                                                double t) {
  const double first_bias = 1.0 - std::pow(s.beta1, t), second_bias = 1.0 - std::pow(s.beta2, t);
  return {static_cast<F>(gradient_factor),        static_cast<F>(1.0 - s.lr * s.weight_decay),
          static_cast<F>(1.0 - s.beta1),          static_cast<F>(s.beta2),
          static_cast<F>(1.0 - s.beta2),          static_cast<F>(s.lr / first_bias),
          static_cast<F>(std::sqrt(second_bias)), static_cast<F>(s.eps),
          static_cast<F>(s.average_decay),        static_cast<F>(1.0 - s.average_decay)};
}

/// The new parameter; the moments are changed in place.
template <class F>
GEAR_ADAMW_INLINE F adamw_value(const AdamWFactors<F>& f, F parameter, F gradient, F& exp_avg,
                                F& exp_avg_sq) {
  const F g = gradient * f.gradient;
  exp_avg = exp_avg + f.first * (g - exp_avg);
  exp_avg_sq = exp_avg_sq * f.second + f.second_rest * g * g;
  const F root = std::sqrt(exp_avg_sq) / f.second_root + f.eps;
  return parameter * f.keep - f.step_size * exp_avg / root;
}

namespace cpu {
void adamw(const std::vector<AdamWTensors>& tensors, const AdamWStep& step);
}
namespace cuda {
void adamw(const std::vector<AdamWTensors>& tensors, const AdamWStep& step);
}

}  // namespace gear::ops
