#pragma once

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>

#include "gear/models/ar/ar_model.h"

// B batch, T caption positions, L tokens per image

namespace gear::models {

/// A small text-conditional transformer: captions of 5 positions, 9 tokens, 2 of 3 blocks double.
inline ArConfig text_config(TextAttention attention) {
  ArConfig config;
  config.dim = 48;
  config.depth = 3;
  config.heads = 4;
  config.ffn_multiple_of = 16;
  config.vocab_size = 32;
  config.num_tokens = 9;
  config.text =
      TextConfig{.dim = 12, .tokens = 5, .double_stream_blocks = 2, .attention = attention};
  return config;
}

/// With weights as after some training: the output head is not zero. In eval mode.
inline ArModel text_network(const ArConfig& config) {
  torch::manual_seed(1);
  ArModel model(config);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) {
    if (parameter.dim() == 2) parameter.normal_(0.0, 0.2);
    if (parameter.dim() == 1) parameter.normal_(1.0, 0.2);
  }
  model->eval();
  return model;
}

/// Three captions: one of full length, one of two positions, an empty one.
inline TextCondition some_text(const ArConfig& config) {
  return {at::randn({3, config.text->tokens, config.text->dim}),
          at::tensor({1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, at::kLong).view({3, 5})};
}

/// [B, L - 1]
inline Tensor some_ids(const ArConfig& config, int64_t batch) {
  return at::randint(config.vocab_size, {batch, config.num_tokens - 1}, at::kLong);
}

}  // namespace gear::models
