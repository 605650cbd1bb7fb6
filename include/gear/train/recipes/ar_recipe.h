#pragma once

#include <optional>

#include "gear/models/teachers/teacher.h"
#include "gear/train/recipes/ar_learner.h"
#include "gear/train/recipes/gear_recipe.h"
#include "gear/train/recipes/token_source.h"
#include "gear/train/sharding/sharded_network.h"

namespace gear::train {

/// Stage 2: the transformer (and projector) on the indices of a frozen tokenizer (spec 00 section
/// 4). LlamaGen is this with repa off.
class ArRecipe : public Recipe {
 public:
  ArRecipe(TokenSource source, ArNetworks ar, Teachers teachers, const RunConfig& config,
           const Parallel& parallel = {});

  Metrics step(std::span<const data::Batch> micro_batches, const StepContext& context) override;
  std::vector<TensorGroup> state() override;
  void state_loaded() override { ar_.state_loaded(); }
  SamplingPair sampling_pair(bool ema) override;
  void open_networks() override;
  void close_networks() override;

  void set_label_dropout(LabelDropout dropout) { label_dropout_ = std::move(dropout); }

 private:
  Metrics update(std::span<const data::Batch> micro_batches, const StepContext& context);
  Metrics backward(const data::Batch& batch, const StepContext& context, const Pass& pass);

  const RunConfig config_;
  const Parallel parallel_;
  TokenSource source_;
  std::optional<ShardedNetwork> tokenizer_;  // none where it is whole
  ArLearner ar_;
  Teachers teachers_;
  LabelDropout label_dropout_;
};

}  // namespace gear::train
