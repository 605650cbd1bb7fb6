#pragma once

#include "gear/ops/few_row_linear.h"

// R rows, K inputs, N outputs

namespace gear::ops {

/// One implementation for each kind of device. What they are given has been checked.
struct FewRowKernels {
  /// values [N, K] float32, bfloat16 or int8 -> the layout that the others read.
  Tensor (*arranged)(const Tensor& values);
  void (*lay_out)(const std::vector<StoredWeight*>& weights);
  void (*linear)(const Tensor& x, const StoredWeight& weight, const Tensor& out, Into into);
  void (*swiglu)(const Tensor& x, const StoredWeight& gate, const StoredWeight& up,
                 const Tensor& out);
  void (*rms_norm)(const Tensor& x, const Tensor& weight, double eps, const Tensor& out);
};

extern const FewRowKernels kCpuFewRow;
extern const FewRowKernels kCudaFewRow;  // in builds with CUDA

}  // namespace gear::ops
