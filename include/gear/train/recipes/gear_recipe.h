#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "gear/models/teachers/teacher.h"
#include "gear/train/recipes/ar_learner.h"
#include "gear/train/recipes/codebook_metrics.h"
#include "gear/train/recipes/tokenizer_learner.h"

namespace gear::train {

using Teachers = std::vector<std::shared_ptr<models::Teacher>>;

/// Features of every teacher for a batch, after the configured spatial norm: [B, N, F] each, no
/// gradient. `images` are the uint8 crops of the batch.
std::vector<Tensor> teacher_targets(const Teachers& teachers, const Tensor& images,
                                    const RunConfig& config);

/// Decides which labels of a batch become the null class: returns the labels to train with, [B].
using LabelDropout = std::function<Tensor(const data::Batch&, const StepContext&)>;

/// Stage 1: the joint step with the dual read-out of the codebook (spec 00 sections 2 and 3).
class GearRecipe : public Recipe {
 public:
  /// `teachers` is empty when loss.repa is off.
  GearRecipe(TokenizerNetworks tokenizer, ArNetworks ar, Teachers teachers, const RunConfig& config,
             const Parallel& parallel = {});

  Metrics step(std::span<const data::Batch> micro_batches, const StepContext& context) override;
  std::vector<TensorGroup> state() override;
  void state_loaded() override;
  SamplingPair sampling_pair(bool ema) override;
  void open_networks() override;
  void close_networks() override;

  /// Replaces the random class dropout, for reproducing a given run.
  void set_label_dropout(LabelDropout dropout) { label_dropout_ = std::move(dropout); }

 private:
  Metrics update(std::span<const data::Batch> micro_batches, const StepContext& context);
  Metrics backward(const data::Batch& batch, const StepContext& context, const Pass& pass,
                   CodebookMetrics& codebook);

  const RunConfig config_;
  const Parallel parallel_;
  TokenizerLearner tokenizer_;
  ArLearner ar_;
  Teachers teachers_;
  LabelDropout label_dropout_;
};

}  // namespace gear::train
