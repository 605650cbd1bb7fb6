#include "gear/nn/dropout_attention.h"

#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <limits>

#include "gear/nn/dropout.h"

namespace gear::nn {
namespace {

/// Keys or values once for each of `heads`.
Tensor for_heads(const Tensor& x, int64_t heads) {
  return x.size(1) == heads ? x : x.repeat_interleave(heads / x.size(1), 1);
}

Tensor causal_mask(int64_t positions, c10::Device device) {
  return at::ones({positions, positions}, at::TensorOptions(device).dtype(at::kBool)).tril();
}

}  // namespace

Tensor dropout_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                         const std::optional<Tensor>& mask, double probability) {
  TORCH_CHECK(mask || q.size(2) == k.size(2), "dropout_attention: without a mask, ", q.size(2),
              " positions must attend to as many, got ", k.size(2));
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
  const Tensor seen = mask ? *mask : causal_mask(q.size(2), q.device());
  const Tensor scores = at::matmul(q * scale, for_heads(k, q.size(1)).transpose(-2, -1))
                            .masked_fill(seen.logical_not(),
                                         -std::numeric_limits<float>::infinity());  // [B, H, n, m]
  const Tensor kept =
      nn::dropout(at::softmax(scores, -1, at::kFloat), probability, /*training=*/true);
  return at::matmul(kept.to(v.scalar_type()), for_heads(v, q.size(1)));
}

}  // namespace gear::nn
