#pragma once

#include "gear/core/tensor.h"

// R rows, K classes

namespace gear::ops {

/// Rows of logits [R, K] contiguous, their targets [R] int64 (negative: ignored) and where to write
/// their losses [R]; losses of ignored rows are 0.
struct LogitRows {
  Tensor logits;
  Tensor targets;
  Tensor losses;
};

/// One implementation for each kind of device.
struct CrossEntropyKernels {
  /// losses[r] = ln sum_k e^logits[r, k] - logits[r, target].
  void (*losses)(const LogitRows& rows);
  /// The same, and logits becomes (softmax(logits) - onehot(target)) * scale, 0 in ignored rows.
  /// scale: scalar tensor
  void (*losses_and_gradient)(const LogitRows& rows, const Tensor& scale);
};

extern const CrossEntropyKernels kCpuCrossEntropy;
extern const CrossEntropyKernels kCudaCrossEntropy;  // in builds with CUDA

}  // namespace gear::ops
