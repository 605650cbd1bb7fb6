#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "gear/train/adamw.h"
#include "gear/train/recipe.h"
#include "gear/train/run_config.h"
#include "gear/train/sharding/parallel.h"

namespace gear::train {

/// One micro-batch of a step on its way through the networks.
struct Pass {
  double scale =
      1.0;           ///< of its loss, so that all gradients of the step add up to those of the mean
  bool last = true;  ///< of this rank in this step
};

/// Calls `backward` for every micro-batch of this rank and averages the metrics, in a logging step
/// those of all ranks. Dropout depends on the seed, the step and the sample; other random numbers
/// of LibTorch's generators on the seed, the step and the place of the micro-batch among those of
/// all ranks.
Metrics run_passes(std::span<const data::Batch> micro_batches, const RunConfig& config,
                   const Parallel& parallel, const StepContext& context,
                   const std::function<Metrics(const data::Batch&, const Pass&)>& backward);

/// Images as the tokenizer wants them: uint8 becomes float in [-1, 1]; float passes through.
Tensor tokenizer_input(const Tensor& images);

/// Makes all parameters of a module (not) require gradients.
void set_trainable(torch::nn::Module& module, bool trainable);

/// The losses of a step, looked at together before its update: the device is read once.
class LossCheck {
 public:
  /// `terms` of the scalar `total`, in the order they were computed.
  void add(const Tensor& total, const Metrics& terms);
  /// Throws NonFiniteError on every rank, naming the first term that is not finite on one of them.
  /// Forgets the losses.
  void expect_finite(const dist::World& world);
  void discard() { losses_.clear(); }

 private:
  std::vector<std::pair<Tensor, Metrics>> losses_;
};

/// Throws NonFiniteError on every rank when a weight has a NaN or infinite element on one of them,
/// naming the first such weight. Reads the device once per weight: for use after something went
/// wrong.
void expect_finite_weights(const std::vector<NamedParameter>& weights, const dist::World& world);

}  // namespace gear::train
