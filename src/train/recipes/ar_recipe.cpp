#include "gear/train/recipes/ar_recipe.h"

#include <utility>

#include "gear/train/recipes/micro_batches.h"
#include "gear/train/state.h"

namespace gear::train {

ArRecipe::ArRecipe(TokenSource source, ArNetworks ar, Teachers teachers, const RunConfig& config)
    : config_(config),
      source_(std::move(source)),
      ar_(std::move(ar), config),
      teachers_(std::move(teachers)),
      label_dropout_([this](const data::Batch& batch, const StepContext& context) {
        return ar_.drop_labels(batch, context);
      }) {}

Metrics ArRecipe::step(std::span<const data::Batch> micro_batches, const StepContext& context) {
  try {
    return update(micro_batches, context);
  } catch (const NonFiniteError&) {
    expect_finite_weights(ar_.parameters());  // a bad weight explains all that follows from it
    throw;
  }
}

Metrics ArRecipe::update(std::span<const data::Batch> micro_batches, const StepContext& context) {
  Metrics metrics = accumulate(micro_batches, [&](const data::Batch& batch, double scale) {
    return backward(batch, context, scale);
  });
  metrics.append(ar_.clip());
  metrics.append(ar_.update(context));
  return metrics;
}

Metrics ArRecipe::backward(const data::Batch& batch, const StepContext& context, double scale) {
  const Tensor ids = source_.tokens(batch);  // [B, N]
  const auto targets = teacher_targets(teachers_, batch.images, config_);
  return ar_.backward(ids, label_dropout_(batch, context), targets, scale);
}

std::vector<TensorGroup> ArRecipe::state() {
  auto groups = ar_.state();
  // Not trained here, but a checkpoint must be enough to sample from.
  if (source_.tokenizer) groups.push_back(module_group("tokenizer", *source_.tokenizer));
  return groups;
}

SamplingPair ArRecipe::sampling_pair(bool ema) {
  return {.tokenizer = source_.tokenizer, .ar = ar_.network(ema)};
}

}  // namespace gear::train
