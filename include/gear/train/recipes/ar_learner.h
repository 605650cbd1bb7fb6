#pragma once

#include <optional>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "gear/train/adamw.h"
#include "gear/train/ema.h"
#include "gear/train/recipe.h"
#include "gear/train/recipes/micro_batches.h"
#include "gear/train/run_config.h"
#include "gear/train/sharding/sharded_network.h"

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
  ArLearner(ArNetworks networks, const RunConfig& config, Parallel parallel = {});

  /// Around the passes of a micro-batch, which must all stand between the two.
  void begin_pass(const Pass& pass);
  void finish_pass();

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

  /// Sums the gradients over passes and ranks, clips them and checks them and the losses; throws
  /// NonFiniteError, on all ranks. Changes no weight.
  Metrics clip();
  /// Forgets losses and gradients of a step that ends without an update.
  void discard_step();
  /// Applies the optimizer and the moving average, then clears the gradients.
  Metrics update(const StepContext& context);

  /// Replaces labels by the null class with probability ar.class_dropout. The draws depend on
  /// (seed, step, sample) alone, not on rank or batch order, so the batch must say which samples it
  /// holds.
  Tensor drop_labels(const data::Batch& batch, const StepContext& context) const;

  std::vector<TensorGroup> state();
  void state_loaded();
  /// Around the use of network() outside of a pass.
  void open_networks();
  void close_networks();
  /// Of the transformer, then the projector.
  const std::vector<NamedParameter>& parameters() const { return optimizer_.parameters(); }
  models::ArModel network(bool ema) const;

 private:
  std::vector<NamedParameter> trained() const;

  ArNetworks networks_;
  const RunConfig config_;
  const Parallel parallel_;
  ShardedNetwork ar_, ar_ema_;
  std::optional<ShardedNetwork> projector_;
  LossCheck losses_;
  AdamW optimizer_;
  Ema ema_;
};

}  // namespace gear::train
