#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_config.h"
#include "gear/models/ar/kv_cache.h"
#include "gear/nn/rms_norm.h"

// B batch, P condition prefix length (1), L tokens per image, n tokens given, K codes, D model width

namespace gear::models {

/// What a parallel forward pass should compute.
struct ArForward {
  int64_t tap = 0;          ///< 1-based block whose output is returned; 0: none
  bool early_exit = false;  ///< stop right after the tap; logits stay undefined
};

struct ArOutput {
  Tensor logits;      // [B, n + 1, K] float32: row i predicts token i
  Tensor tap_hidden;  // [B, n + 1, D] float32: residual stream after block `tap`, before the final
                      // norm, at the positions that predict tokens 0..n
};

/// Class-conditional LlamaGen transformer (spec 02). Registered names are the published ones:
/// cls_embedding.embedding_table, tok_embeddings, layers.{i}..., norm, output.
class ArModelImpl : public torch::nn::Module {
 public:
  explicit ArModelImpl(const ArConfig& config);

  /// labels [B] int64; embeddings [B, n, D] from embed_ids or embed_soft. In train mode labels are
  /// dropped with probability class_dropout and dropout is on.
  ArOutput forward(const Tensor& labels, const Tensor& embeddings, const ArForward& what = {});

  Tensor embed_ids(const Tensor& ids);    // [B, n] int64 -> [B, n, D]
  Tensor embed_soft(const Tensor& soft);  // [B, n, K] weights -> [B, n, D] = soft x token table

  /// Label dropping as a deterministic step of its own: where drop [B] is true the null class.
  Tensor drop_labels(const Tensor& labels, const Tensor& drop) const;

  /// Cached decoding (eval mode, no gradient). Feeds one position and returns its logits [B, K].
  /// prefill starts the cache with the class token; decode_step adds one token, ids [B].
  Tensor prefill(const Tensor& labels, KvCache& cache);
  Tensor decode_step(const Tensor& ids, KvCache& cache);

  const ArConfig& config() const { return config_; }
  int64_t null_class() const { return config_.num_classes; }

  // Children and helpers: see the source.
 private:
  ArConfig config_;
};
TORCH_MODULE(ArModel);

}  // namespace gear::models
