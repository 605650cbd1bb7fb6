#pragma once

#include <cstdint>

#include "gear/core/tensor.h"

// R rows decoded together, H heads, H_kv key/value heads (a divisor of H), d head width, S capacity
// in positions

namespace gear::ops {

/// Keys and values of one block, and what attention has to know beside them.
struct CachedKeys {
  Tensor keys;     ///< [R, H_kv, S, d] contiguous, float32 or bfloat16
  Tensor values;   ///< like keys
  Tensor rotary;   ///< [n, d / 2, 2] float32 contiguous: cos and sin of every position
  Tensor visible;  ///< [R, S or more] bool, rows contiguous: positions that may be attended to;
                   ///< undefined: all
};

/// Attention of the position behind those in a cache, in one call: rotates its queries and keys by
/// adjacent pairs, writes keys and values into the cache, and attends to everything up to and
/// including itself. Softmax and sums are float32. No gradients.
///   qkv       [R, (H + 2 H_kv) * d] float32 contiguous: heads of queries, keys, values
///   position  scalar int64 on the device of qkv, below S and n. On CUDA the kernels read it, so
///             the host need not know it
///   out       [R, H * d] float32 contiguous
/// Each row is computed in the same order, whatever the other rows and the number of threads.
void cached_attention(const Tensor& qkv, const Tensor& position, const CachedKeys& cache,
                      const Tensor& out);

}  // namespace gear::ops
