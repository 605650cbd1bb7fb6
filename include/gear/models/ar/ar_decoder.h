#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/text_condition.h"
#include "gear/ops/few_row_linear.h"

// R rows decoded together, K codes, D model width

namespace gear::models {

/// Decoding of R rows: the condition first, then one token of each after the other. Logits [R, K]
/// float32 are those of the next token; they hold until the next call.
class Decoding {
 public:
  virtual ~Decoding() = default;

  virtual Tensor prefill(const Tensor& labels) = 0;       // [R] int64
  virtual Tensor prefill(const TextCondition& text) = 0;  // of R captions
  virtual Tensor step(const Tensor& ids) = 0;             // [R] int64
  /// Goes on with the first rows alone.
  virtual void keep_first(int64_t rows) = 0;
  virtual int64_t rows() const = 0;
};

/// Weights of a block as decoding reads them. What the text stream needs is read once, in the
/// prefill, and stays in the network.
struct StoredBlock {
  ops::StoredWeight wqkv, wo, w1, w3, w2;
  Tensor attention_norm, ffn_norm;  // [D]
};

struct StoredWeights {
  std::vector<StoredBlock> blocks;
  Tensor norm;  // [D]
  ops::StoredWeight output;

  std::vector<ops::StoredWeight*> in_reading_order();
  /// Bytes that every step reads.
  double bytes() const;
};

/// A network ready to decode: with a copy of its weights in one of the formats, or in plain form,
/// with its own layers under LibTorch, which the fast form is compared with. In bfloat16 and int8
/// the keys and values are cached in bfloat16. The network must be float32, in eval mode while
/// decoding, and unchanged since.
class ArDecoder {
 public:
  /// Not explicit: a network decodes in float32 unless told otherwise.
  ArDecoder(const ArModel& model,  // NOLINT(google-explicit-constructor)
            ops::WeightFormat format = ops::WeightFormat::kFloat32);
  static ArDecoder plain(const ArModel& model);

  std::unique_ptr<Decoding> start(int64_t rows) const;

  const ArModel& model() const { return model_; }
  /// Bytes of stored weights that every step reads.
  double step_bytes() const;

 private:
  ArDecoder(const ArModel& model, std::shared_ptr<const StoredWeights> weights,
            ops::WeightFormat format);

  ArModel model_;
  std::shared_ptr<const StoredWeights> weights_;  // null: plain
  ops::WeightFormat format_;
};

}  // namespace gear::models
