#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <optional>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_block.h"
#include "gear/models/ar/ar_config.h"
#include "gear/models/ar/kv_cache.h"
#include "gear/models/ar/text_condition.h"
#include "gear/nn/gate.h"
#include "gear/nn/rms_norm.h"
#include "gear/ops/readout.h"

// B batch, P condition prefix length (1, or the caption's T), L tokens per image, n tokens given,
// K codes, D model width

namespace gear::models {

/// What a parallel forward pass should compute.
struct ArForward {
  int64_t tap = 0;          ///< 1-based block whose output is returned; 0: none
  bool early_exit = false;  ///< stop right after the tap
  bool head = true;         ///< false: leave the output layer to the loss, which fuses it
};

/// Row i predicts token i. What was not asked for stays undefined.
struct ArOutput {
  Tensor logits;      // [B, n + 1, K] float32
  Tensor features;    // [B, n + 1, D] after the final norm, without `head`
  Tensor tap_hidden;  // [B, n + 1, D] float32: residual stream after block `tap`, before the final
                      // norm, at the positions that predict tokens 0..n
};

/// Embedding of class labels; the row after the last class, if there is one, is the null class.
struct ClassEmbeddingImpl : torch::nn::Module {
  ClassEmbeddingImpl(int64_t rows, int64_t dim);
  Tensor forward(const Tensor& labels);  // [B] int64 -> [B, P, D]

  torch::nn::Embedding embedding_table;
};
TORCH_MODULE(ClassEmbedding);

/// LlamaGen transformer (spec 02), conditioned on a class or, where the config has a `text`, on a
/// caption. Registered names are the published ones: cls_embedding, tok_embeddings, layers.{i}...,
/// norm, output. What takes labels needs the former, what takes a TextCondition the latter.
class ArModelImpl : public nn::KeptModule {
 public:
  explicit ArModelImpl(const ArConfig& config);

  /// labels [B] int64, class dropout already applied (see drop_labels); embeddings [B, n, D] from
  /// embed_ids or embed_soft. In train mode dropout is on (nn::dropout).
  ArOutput forward(const Tensor& labels, const Tensor& embeddings, const ArForward& what = {});
  ArOutput forward(const TextCondition& text, const Tensor& embeddings, const ArForward& what = {});

  Tensor embed_ids(const Tensor& ids);        // [B, n] int64 -> [B, n, D]
  Tensor embed_labels(const Tensor& labels);  // [B] int64 -> [B, P, D]
  /// Soft or straight-through read-out of the token table for T tokens: [T, D].
  Tensor embed_soft(const ops::Costs& costs, const ops::ReadoutOptions& options);

  /// Label dropping as a deterministic step of its own: where drop [B] is true the null class. The
  /// draws are the caller's, so that they do not depend on ranks or batch order. Without a null
  /// class only an all-false `drop` is allowed.
  Tensor drop_labels(const Tensor& labels, const Tensor& drop) const;

  /// Cached decoding (eval mode, no gradient). Returns the logits [B, K] float32 of the last
  /// position fed. prefill starts the cache with the condition; decode_step adds one token, ids
  /// [B].
  Tensor prefill(const Tensor& labels, KvCache& cache);
  Tensor prefill(const TextCondition& text, KvCache& cache);
  Tensor decode_step(const Tensor& ids, KvCache& cache);

  /// (cos, sin) of all positions, float32 [P + L, d / 2, 2].
  const Tensor& rotary_table(c10::Device device);

  const ArConfig& config() const { return config_; }
  int64_t null_class() const { return config_.num_classes; }
  /// Guidance needs the null class, which only a model trained with class dropout has.
  bool has_null_class() const { return !config_.text && config_.class_dropout > 0.0; }

  // One of them, registered as cls_embedding; the other is null.
  ClassEmbedding cls_embedding;
  CaptionEmbedding caption_embedding;
  torch::nn::Embedding tok_embeddings;
  torch::nn::ModuleList layers;
  nn::RmsNorm norm;
  torch::nn::Linear output;

 private:
  Tensor embed_text(const TextCondition& text);  // [B, P, D]
  /// condition [B, P, D]; mask as in ArPositions.
  ArOutput run(const Tensor& condition, const Tensor& embeddings, const std::optional<Tensor>& mask,
               const ArForward& what);
  Tensor run_block(int64_t index, const Tensor& h, const ArPositions& positions);
  /// Adds positions [B, n, D] to the cache -> logits [B, K] of the last one.
  Tensor advance(const Tensor& embeddings, const std::optional<Tensor>& mask, int64_t text,
                 KvCache& cache);
  Tensor head(const Tensor& h);  // [..., D] -> [..., K] float32

  ArConfig config_;
  Tensor rotary_;  // [P + L, d / 2, 2], made on first use: published files do not store it
};
TORCH_MODULE(ArModel);

}  // namespace gear::models
