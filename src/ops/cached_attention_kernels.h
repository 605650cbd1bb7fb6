#pragma once

#include "gear/ops/cached_attention.h"

// R rows, H heads, H_kv key/value heads, d head width, S capacity

namespace gear::ops {

/// The sizes behind the tensors.
struct HeadSizes {
  int64_t rows, heads, kv_heads, width, capacity;

  int64_t group() const { return heads / kv_heads; }                    ///< heads that share keys
  int64_t projected() const { return (heads + 2 * kv_heads) * width; }  ///< columns of qkv
};

/// One implementation for each kind of device. What they are given has been checked.
struct CachedAttentionKernels {
  void (*attend)(const Tensor& qkv, const Tensor& position, const CachedKeys& cache,
                 const HeadSizes& sizes, const Tensor& out);
};

extern const CachedAttentionKernels kCpuCachedAttention;
extern const CachedAttentionKernels kCudaCachedAttention;  // in builds with CUDA

}  // namespace gear::ops
