#pragma once

#include <memory>

#include "gear/models/ar/ar_decoder.h"
#include "gear/models/ar/kv_cache.h"
#include "gear/ops/repeated_work.h"

// R rows decoded together, D model width, H heads, H_kv key/value heads, d head width, F width of
// the MLP, K codes

namespace gear::models {

/// Decoding with stored weights. All memory of a step is allocated in the beginning.
class StoredDecoding : public Decoding {
 public:
  StoredDecoding(const ArModel& model, std::shared_ptr<const StoredWeights> weights, int64_t rows,
                 at::ScalarType cache_type);

  Tensor prefill(const Tensor& labels) override;
  Tensor prefill(const TextCondition& text) override;
  Tensor step(const Tensor& ids) override;
  void keep_first(int64_t rows) override;
  int64_t rows() const override { return cache_.rows(); }

 private:
  /// What a step computes, for R rows.
  struct Workspace {
    Tensor hidden;    // [R, D], the residual stream
    Tensor normed;    // [R, D]
    Tensor qkv;       // [R, (H + 2 H_kv) d]
    Tensor attended;  // [R, H d]
    Tensor gated;     // [R, F]
    Tensor logits;    // [R, K]

    Workspace(const ArConfig& config, int64_t rows, c10::Device device);
    void keep_first(int64_t rows);
  };

  /// From the embedding in hidden to the logits.
  Tensor advance();
  void run_blocks();
  void run_block(const StoredBlock& block, const KvLayer& cached);

  ArModel model_;
  std::shared_ptr<const StoredWeights> weights_;
  KvCache cache_;
  Tensor rotary_;    // [P + L, d / 2, 2]
  Tensor position_;  // scalar int64: of the token that comes next
  Workspace work_;
  ops::RepeatedWork blocks_;
};

}  // namespace gear::models
