#include "gear/models/ar/text_condition.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/ones.h>

#include "gear/nn/autocast.h"
#include "gear/nn/linear.h"

// B batch, T caption positions, n image tokens given, S = T + n, D model width

namespace gear::models {

CaptionProjectionImpl::CaptionProjectionImpl(int64_t text_dim, int64_t dim)
    : fc1(register_module("fc1", nn::linear_no_bias(text_dim, dim))),
      fc2(register_module("fc2", nn::linear_no_bias(dim, dim))) {}

Tensor CaptionProjectionImpl::forward(const Tensor& features) {
  return fc2(at::gelu(fc1(features), "tanh"));
}

CaptionEmbeddingImpl::CaptionEmbeddingImpl(int64_t text_dim, int64_t dim)
    : cap_proj(register_module("cap_proj", CaptionProjection(text_dim, dim))) {}

Tensor CaptionEmbeddingImpl::forward(const Tensor& features) {
  const auto stored = features.to(cap_proj->fc1->weight.scalar_type());  // bfloat16, often
  return nn::to_full_precision(cap_proj(stored));  // the start of the residual stream
}

Tensor visible_columns(const Tensor& valid, int64_t tokens) {
  const auto text = valid.to(at::kBool);
  return at::cat({text, at::ones({text.size(0), tokens}, text.options())}, 1);
}

Tensor text_attention_mask(const Tensor& valid, int64_t tokens, TextAttention attention) {
  const int64_t text = valid.size(1), length = text + tokens;
  const auto options = valid.options().dtype(at::kBool);
  auto reach = at::ones({length, length}, options).tril();  // [S, S]
  if (attention == TextAttention::kPrefix) {
    reach.narrow(0, 0, text).narrow(1, 0, text).fill_(true);
  }
  const auto visible = visible_columns(valid, tokens).view({-1, 1, 1, length});
  return reach.logical_and(visible).logical_or(at::eye(length, options));  // [B, 1, S, S]
}

}  // namespace gear::models
