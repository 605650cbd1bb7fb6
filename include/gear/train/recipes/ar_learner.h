#pragma once

#include <vector>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "gear/train/adamw.h"
#include "gear/train/ema.h"
#include "gear/train/recipe.h"
#include "gear/train/run_config.h"

// B batch, N tokens per image, K codes, F teacher width

namespace gear::train {

/// Networks of the transformer side. `projector` is empty when repa is off.
struct ArNetworks {
  models::ArModel ar{nullptr};
  models::ArModel ar_ema{nullptr};  // same shape; becomes a copy of `ar`
  models::Projector projector{nullptr};
};

/// The transformer with its projector, losses and optimizer: update (3) of a step, and the frozen
/// pass through which the soft read-out is aligned in update (1) (spec 00 section 3).
class ArLearner {
 public:
  ArLearner(ArNetworks networks, const RunConfig& config);

  /// Alignment loss of the soft read-out, -mean cos. Transformer and projector are frozen and in
  /// eval mode, labels are never dropped, blocks after the tap do not run.
  ///   costs   of [B * N, K], on the tokenizer's graph
  ///   targets one [B, N, F] per teacher, spatial norm applied
  Tensor soft_alignment(const ops::Costs& costs, const Tensor& labels,
                        const std::vector<Tensor>& targets);

  /// Gradients of update (3): next-token cross-entropy plus alignment, multiplied by `scale`.
  ///   ids     [B, N] int64, the hard read-out: integers, so nothing flows back to the tokenizer
  ///   labels  [B], class dropout already applied
  ///   targets one [B, N, F] per teacher, none when repa is off
  Metrics backward(const Tensor& ids, const Tensor& labels, const std::vector<Tensor>& targets,
                   double scale);

  /// Clips and checks the gradients; throws NonFiniteError. Changes no weight.
  Metrics clip();
  /// Applies the optimizer and the moving average, then clears the gradients.
  Metrics update(const StepContext& context);

  /// Replaces labels by the null class with probability ar.class_dropout. The draws depend on
  /// (seed, step, sample) alone, not on rank or batch order, so the batch must say which samples it
  /// holds.
  Tensor drop_labels(const data::Batch& batch, const StepContext& context) const;

  std::vector<TensorGroup> state();
  /// Of the transformer, then the projector.
  const std::vector<NamedParameter>& parameters() const { return optimizer_.parameters(); }
  models::ArModel network(bool ema) const;

 private:
  ArNetworks networks_;
  const RunConfig config_;
  AdamW optimizer_;
  Ema ema_;
};

}  // namespace gear::train
