#pragma once

#include "gear/train/recipes/codebook_metrics.h"
#include "gear/train/recipes/tokenizer_learner.h"

namespace gear::train {

/// Stage 0: tokenizer and discriminator alone (spec 00 section 4).
class TokenizerRecipe : public Recipe {
 public:
  TokenizerRecipe(TokenizerNetworks networks, const RunConfig& config,
                  const Parallel& parallel = {});

  Metrics step(std::span<const data::Batch> micro_batches, const StepContext& context) override;
  std::vector<TensorGroup> state() override { return learner_.state(); }
  void state_loaded() override { learner_.state_loaded(); }
  void open_networks() override { learner_.open_networks(); }
  void close_networks() override { learner_.close_networks(); }
  SamplingPair sampling_pair(bool ema) override {
    return {.tokenizer = learner_.network(ema), .ar = nullptr};
  }

 private:
  Metrics update(std::span<const data::Batch> micro_batches, const StepContext& context);
  Metrics backward(const data::Batch& batch, const StepContext& context, const Pass& pass,
                   CodebookMetrics& codebook);

  const RunConfig config_;
  const Parallel parallel_;
  TokenizerLearner learner_;
};

}  // namespace gear::train
