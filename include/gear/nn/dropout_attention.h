#pragma once

#include <optional>

#include "gear/core/tensor.h"

// B batch, H heads, H_kv key/value heads, n positions, m positions attended to, d head width

namespace gear::nn {

/// Attention whose probabilities lose values with `probability` as in nn::dropout, so a sample
/// loses the same ones on any rank; fused kernels draw from the global generator. It holds all
/// probabilities, [B, H, n, m].
///   q     [B, H, n, d]
///   k, v  [B, H_kv, m, d], H_kv divides H
///   mask  bool, spread to [B, H, n, m], true: attend; none: causal with n = m
/// Returns [B, H, n, d] in the type of v. The softmax is in float32.
Tensor dropout_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                         const std::optional<Tensor>& mask, double probability);

}  // namespace gear::nn
