#include "gear/train/recipes/gear_recipe.h"

#include "gear/losses/alignment.h"
#include "gear/nn/autocast.h"
#include "gear/train/recipes/codebook_metrics.h"
#include "gear/train/recipes/micro_batches.h"

// B batch, N tokens per image, F teacher width

namespace gear::train {

std::vector<Tensor> teacher_targets(const Teachers& teachers, const Tensor& images,
                                    const RunConfig& config) {
  if (teachers.empty()) return {};
  const nn::AutocastScope autocast(images.device().type(), config.precision == Precision::kBf16);
  std::vector<Tensor> targets;
  for (const auto& teacher : teachers) {
    targets.push_back(losses::spatial_norm(teacher->encode(images), config.loss.spatial_norm,
                                           config.loss.spatial_norm_alpha));
  }
  return targets;
}

GearRecipe::GearRecipe(TokenizerNetworks tokenizer, ArNetworks ar, Teachers teachers,
                       const RunConfig& config, const Parallel& parallel)
    : config_(config),
      parallel_(parallel),
      tokenizer_(std::move(tokenizer), config, parallel),
      ar_(std::move(ar), config, parallel),
      teachers_(std::move(teachers)),
      label_dropout_([this](const data::Batch& batch, const StepContext& context) {
        return ar_.drop_labels(batch, context);
      }) {}

Metrics GearRecipe::step(std::span<const data::Batch> micro_batches, const StepContext& context) {
  try {
    return update(micro_batches, context);
  } catch (const NonFiniteError&) {
    tokenizer_.discard_step();
    ar_.discard_step();
    // A bad weight explains all that follows.
    expect_finite_weights(tokenizer_.parameters(), parallel_.world);
    expect_finite_weights(ar_.parameters(), parallel_.world);
    throw;
  }
}

Metrics GearRecipe::update(std::span<const data::Batch> micro_batches, const StepContext& context) {
  CodebookMetrics codebook(config_, context, parallel_.world);
  Metrics metrics = run_passes(micro_batches, config_, parallel_, context,
                               [&](const data::Batch& batch, const Pass& pass) {
                                 return backward(batch, context, pass, codebook);
                               });
  codebook.report(metrics);
  // All gradients of the step exist before the first weight changes: each update reads only the
  // other networks' old weights, so the order of the three is the method's, and a bad value found
  // here leaves everything as it was.
  metrics.append(tokenizer_.clip());
  metrics.append(ar_.clip());
  metrics.append(tokenizer_.update(context));
  metrics.append(ar_.update(context));
  return metrics;
}

Metrics GearRecipe::backward(const data::Batch& batch, const StepContext& context, const Pass& pass,
                             CodebookMetrics& codebook) {
  tokenizer_.begin_pass(pass);
  ar_.begin_pass(pass);
  const auto images = tokenizer_input(batch.images);                       // [B, 3, S, S]
  const auto targets = teacher_targets(teachers_, batch.images, config_);  // [B, N, F] each
  const auto tokenized = tokenizer_.forward(images);
  const auto& quantized = tokenized.quantized;

  // (1) tokenizer: critics, codebook, and the soft read-out aligned through the frozen transformer
  Tensor alignment;
  const bool aligned = config_.loss.align_tokenizer > 0.0;
  if (!targets.empty() && (aligned || context.diagnostics)) {
    const at::AutoGradMode gradient(aligned);  // with weight 0 the loss is for the log alone
    alignment = ar_.soft_alignment(quantized.costs, batch.labels, targets);
  }
  Metrics metrics = tokenizer_.backward(images, tokenized, alignment, context, pass.scale);

  // (2) discriminator, on the same reconstruction
  metrics.append(
      tokenizer_.backward_discriminator(images, tokenized.reconstruction, context, pass.scale));

  // (3) transformer and projector, on the hard read-out; integers carry no gradient
  const auto ids = quantized.ids.view({batch.labels.size(0), -1});  // [B, N]
  metrics.append(ar_.backward(ids, label_dropout_(batch, context), targets, pass.scale));

  codebook.add(quantized);
  tokenizer_.finish_pass();
  ar_.finish_pass();
  return metrics;
}

std::vector<TensorGroup> GearRecipe::state() {
  auto groups = tokenizer_.state();
  for (TensorGroup& group : ar_.state()) groups.push_back(std::move(group));
  return groups;
}

void GearRecipe::state_loaded() {
  tokenizer_.state_loaded();
  ar_.state_loaded();
}

void GearRecipe::open_networks() {
  tokenizer_.open_networks();
  ar_.open_networks();
}

void GearRecipe::close_networks() {
  tokenizer_.close_networks();
  ar_.close_networks();
}

SamplingPair GearRecipe::sampling_pair(bool ema) {
  return {.tokenizer = tokenizer_.network(ema), .ar = ar_.network(ema)};
}

}  // namespace gear::train
