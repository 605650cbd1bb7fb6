#pragma once

#include <c10/core/Device.h>

#include <vector>

#include "gear/core/tensor.h"

// R rows of costs, n columns of them, M temperatures
//
// The steps of the read-out between its matrix products. All tensors are contiguous and, the ids
// aside, of one floating type.

namespace gear::ops {

/// What is found in whole rows of costs [R, K].
struct RowStatistics {
  Tensor ids;         // [R] int64
  Tensor lowest;      // [R]
  Tensor normaliser;  // [M, R], sum over k of exp(-(cost - lowest) / temperature)
  Tensor entropy;     // [M, R]
  Tensor top_mass;    // [M, R, 4]; undefined: not wanted
};

/// p = exp(-(cost - lowest) / temperature) / normaliser.
struct RowSoftmax {
  Tensor lowest;      // [R]
  Tensor normaliser;  // [R]
  double temperature = 1.0;
};

/// What arrives at both entropies, already divided by the number of tokens.
struct EntropyGradient {
  Tensor to_sample;  // scalar, at the mean entropy
  Tensor to_mean;    // [n], at the mean distribution
  Tensor expected;   // [R], sum over all k of p_rk * to_mean[k]
  Tensor entropy;    // [R], H(p_r)
};

/// One implementation for each kind of device.
struct ReadoutKernels {
  void (*row_statistics)(const Tensor& cost, const std::vector<double>& temperatures,
                         const RowStatistics& out);
  /// sum[k] += sum over the rows of p_rk.  cost [R, K], sum [K]
  void (*add_distribution)(const Tensor& cost, const RowSoftmax& softmax, const Tensor& sum);
  /// sum[r] += sum over the columns of p_rk * values[k].  cost [R, n], values [n], sum [R]
  void (*add_expectation)(const Tensor& cost, const RowSoftmax& softmax, const Tensor& values,
                          const Tensor& sum);
  /// out = p.  cost [R, n], out [R, n]; they may be one tensor
  void (*assignment)(const Tensor& cost, const RowSoftmax& softmax, const Tensor& out);
  /// From the gradient of p to that of the cost, in place: g = -p * (g - mean) / temperature.
  /// gradient [R, n], mean [R]
  void (*assignment_gradient)(const Tensor& cost, const RowSoftmax& softmax, const Tensor& mean,
                              const Tensor& gradient);
  /// gradient [R, n] += what the entropies send to the cost.
  void (*add_entropy_gradient)(const Tensor& cost, const RowSoftmax& softmax,
                               const EntropyGradient& upstream, const Tensor& gradient);
};

extern const ReadoutKernels kCpuReadout;
extern const ReadoutKernels kCudaReadout;  // in builds with CUDA

}  // namespace gear::ops
