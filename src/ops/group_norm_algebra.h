#pragma once

#include <cmath>

// What becomes of the sums over a map, by group and by channel: the same for every device. C++17,
// for nvcc. F: the type that the kernels compute in.

#ifdef __CUDACC__
#define GEAR_HOST_DEVICE __host__ __device__
#else
#define GEAR_HOST_DEVICE
#endif

namespace gear::ops {

struct GroupMoments {
  double mean;
  double rstd;  // 1 / sqrt(variance + eps)
};

/// From the sums of x - origin and of its square over the `size` values of a group.
GEAR_HOST_DEVICE inline GroupMoments group_moments(double origin, double sum, double square,
                                                   double size, double eps) {
  const double mean = sum / size;
  const double variance = square / size - mean * mean;
  return {origin + mean, 1.0 / std::sqrt((variance < 0.0 ? 0.0 : variance) + eps)};
}

/// What is subtracted from x first. Near a mean above the deviation the difference is exact; else 0
/// saves a rounding. What it leaves of the mean goes into shift and offset, below.
template <class F>
GEAR_HOST_DEVICE F centre_of(const GroupMoments& moments) {
  return std::fabs(moments.mean) * moments.rstd > 1.0 ? static_cast<F>(moments.mean) : F(0);
}

/// The normalisation of a channel: h = (x - centre) * scale + shift.
template <class F>
struct ChannelAffine {
  F centre, scale, shift;
};

template <class F>
GEAR_HOST_DEVICE ChannelAffine<F> channel_affine(const GroupMoments& moments, double weight,
                                                 double bias) {
  const F centre = centre_of<F>(moments);
  const double scale = moments.rstd * weight;
  return {centre, static_cast<F>(scale), static_cast<F>((centre - moments.mean) * scale + bias)};
}

/// Gradient of the weight of a channel, from the sums over one image of g, the gradient of h, and
/// of g * (x - centre).
template <class F>
GEAR_HOST_DEVICE double weight_gradient(const GroupMoments& moments, double sum, double product) {
  return (product + (centre_of<F>(moments) - moments.mean) * sum) * moments.rstd;
}

/// What the gradient of x loses because mean and deviation depend on x: offset + slope * (x -
/// centre).
template <class F>
struct GroupCorrection {
  F offset, slope;
};

/// From the sums over the `size` values of a group of g w and of g w (x - centre), w the weight:
///   dx = rstd * (g w - mean(g w) - xhat * mean(g w xhat)),  xhat = (x - mean) * rstd
template <class F>
GEAR_HOST_DEVICE GroupCorrection<F> group_correction(const GroupMoments& moments, double sum,
                                                     double product, double size) {
  const double rest = centre_of<F>(moments) - moments.mean;
  const double rstd = moments.rstd;
  const double slope = rstd * rstd * rstd * (product + rest * sum) / size;
  return {static_cast<F>(rstd * sum / size + slope * rest), static_cast<F>(slope)};
}

}  // namespace gear::ops
