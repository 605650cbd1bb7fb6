#pragma once

#include <span>
#include <vector>

#include "gear/train/adamw.h"
#include "gear/train/recipe.h"

namespace gear::train {

/// Calls `backward(batch, scale)` for every micro-batch with scale 1 / n, so that the gradients add
/// up to those of the mean loss, and averages the metrics likewise.
template <class Backward>
Metrics accumulate(std::span<const data::Batch> micro_batches, Backward&& backward) {
  Metrics metrics;
  const double scale = 1.0 / static_cast<double>(micro_batches.size());
  for (const data::Batch& batch : micro_batches) {
    metrics.accumulate(backward(batch, scale), scale);
  }
  return metrics;
}

/// Images as the tokenizer wants them: uint8 becomes float in [-1, 1]; float passes through.
Tensor tokenizer_input(const Tensor& images);

/// Makes all parameters of a module (not) require gradients.
void set_trainable(torch::nn::Module& module, bool trainable);

/// Throws NonFiniteError unless the scalar `total` is finite, naming the first of its `terms`, in
/// the order they were computed, that is not. Reads the device once where all is well.
void expect_finite_loss(const Tensor& total, const Metrics& terms);

/// Throws NonFiniteError naming the first weight with a NaN or infinite element. Reads the device
/// once per weight: for use after something went wrong.
void expect_finite_weights(const std::vector<NamedParameter>& weights);

}  // namespace gear::train
