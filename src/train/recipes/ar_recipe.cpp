#include "gear/train/recipes/ar_recipe.h"

#include <utility>

#include "gear/train/recipes/micro_batches.h"
#include "gear/train/state.h"
#include "train/sharding/divided_build.h"

namespace gear::train {
namespace {

std::optional<ShardedNetwork> divided_tokenizer(const TokenSource& source,
                                                const Parallel& parallel) {
  if (!source.tokenizer || !divides_parameters(parallel)) return std::nullopt;
  return ShardedNetwork::frozen(*source.tokenizer, parallel);
}

}  // namespace

ArRecipe::ArRecipe(TokenSource source, ArNetworks ar, Teachers teachers, const RunConfig& config,
                   const Parallel& parallel)
    : config_(config),
      parallel_(parallel),
      source_(std::move(source)),
      tokenizer_(divided_tokenizer(source_, parallel_)),
      ar_(std::move(ar), config, parallel),
      teachers_(std::move(teachers)),
      label_dropout_([this](const data::Batch& batch, const StepContext& context) {
        return ar_.drop_labels(batch, context);
      }) {}

Metrics ArRecipe::step(std::span<const data::Batch> micro_batches, const StepContext& context) {
  try {
    return update(micro_batches, context);
  } catch (const NonFiniteError&) {
    ar_.discard_step();
    // A bad weight explains all that follows from it.
    expect_finite_weights(ar_.parameters(), parallel_.world);
    throw;
  }
}

Metrics ArRecipe::update(std::span<const data::Batch> micro_batches, const StepContext& context) {
  Metrics metrics = run_passes(
      micro_batches, config_, parallel_, context,
      [&](const data::Batch& batch, const Pass& pass) { return backward(batch, context, pass); });
  metrics.append(ar_.clip());
  metrics.append(ar_.update(context));
  return metrics;
}

Metrics ArRecipe::backward(const data::Batch& batch, const StepContext& context, const Pass& pass) {
  if (tokenizer_) tokenizer_->begin_pass(pass.last);
  const Tensor ids = source_.tokens(batch);  // [B, N]
  if (tokenizer_) tokenizer_->finish_pass();
  ar_.begin_pass(pass);
  const auto targets = teacher_targets(teachers_, batch.images, config_);
  Metrics metrics = ar_.backward(ids, label_dropout_(batch, context), targets, pass.scale);
  ar_.finish_pass();
  return metrics;
}

std::vector<TensorGroup> ArRecipe::state() {
  auto groups = ar_.state();
  // Not trained here, but a checkpoint must be enough to sample from.
  if (tokenizer_) {
    groups.push_back(tokenizer_->state("tokenizer"));
  } else if (source_.tokenizer) {
    groups.push_back(module_group("tokenizer", *source_.tokenizer));
  }
  return groups;
}

void ArRecipe::open_networks() {
  if (tokenizer_) tokenizer_->open();
  ar_.open_networks();
}

void ArRecipe::close_networks() {
  if (tokenizer_) tokenizer_->close();
  ar_.close_networks();
}

SamplingPair ArRecipe::sampling_pair(bool ema) {
  return {.tokenizer = source_.tokenizer, .ar = ar_.network(ema)};
}

}  // namespace gear::train
