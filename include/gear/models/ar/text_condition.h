#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_config.h"

// B batch, T caption positions, n image tokens given, C_t text feature width, D model width

namespace gear::models {

/// Captions as a frozen text encoder gives them. Without any condition stand the features and the
/// validity of the empty text: the network has no null embedding.
struct TextCondition {
  Tensor features;  // [B, T, C_t], any floating type
  Tensor valid;     // [B, T], true or not 0: a caption token, not padding; undefined: attention is
                    // causal over all positions, whatever TextAttention says
};

/// MLP fc2(gelu(fc1(x))) with the tanh form of GELU, from text features to the model width.
struct CaptionProjectionImpl : torch::nn::Module {
  CaptionProjectionImpl(int64_t text_dim, int64_t dim);
  Tensor forward(const Tensor& features);  // [B, T, C_t] -> [B, T, D]

  torch::nn::Linear fc1, fc2;
};
TORCH_MODULE(CaptionProjection);

/// What stands in the place of ClassEmbedding. Registered names: cap_proj.{fc1,fc2}.
struct CaptionEmbeddingImpl : torch::nn::Module {
  CaptionEmbeddingImpl(int64_t text_dim, int64_t dim);
  Tensor forward(const Tensor& features);  // [B, T, C_t] -> [B, T, D] float32

  CaptionProjection cap_proj;
};
TORCH_MODULE(CaptionEmbedding);

/// Columns that a later token may see, valid text and every token: bool [B, T + n].
Tensor visible_columns(const Tensor& valid, int64_t tokens);

/// Who attends to whom, bool [B, 1, T + n, T + n], true: row attends to column. Of the text only
/// valid columns are seen; every position sees itself, so that no row is empty.
///   kCausal  each position sees what stands before it
///   kPrefix  text sees all text, tokens see all text and the tokens before them
Tensor text_attention_mask(const Tensor& valid, int64_t tokens, TextAttention attention);

}  // namespace gear::models
