#pragma once

#include "gear/train/recipes/codebook_metrics.h"
#include "gear/train/recipes/tokenizer_learner.h"

namespace gear::train {

/// Stage 0: tokenizer and discriminator alone (spec 00 section 4).
class TokenizerRecipe : public Recipe {
 public:
  TokenizerRecipe(TokenizerNetworks networks, const RunConfig& config);

  Metrics step(std::span<const data::Batch> micro_batches, const StepContext& context) override;
  std::vector<TensorGroup> state() override { return learner_.state(); }
  SamplingPair sampling_pair(bool ema) override {
    return {.tokenizer = learner_.network(ema), .ar = nullptr};
  }

 private:
  Metrics update(std::span<const data::Batch> micro_batches, const StepContext& context);
  Metrics backward(const data::Batch& batch, const StepContext& context, double scale,
                   CodebookMetrics& codebook);

  const RunConfig config_;
  TokenizerLearner learner_;
};

}  // namespace gear::train
