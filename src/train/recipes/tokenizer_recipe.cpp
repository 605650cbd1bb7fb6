#include "gear/train/recipes/tokenizer_recipe.h"

#include "gear/train/recipes/codebook_metrics.h"
#include "gear/train/recipes/micro_batches.h"

namespace gear::train {

TokenizerRecipe::TokenizerRecipe(TokenizerNetworks networks, const RunConfig& config,
                                 const Parallel& parallel)
    : config_(config), parallel_(parallel), learner_(std::move(networks), config, parallel) {}

Metrics TokenizerRecipe::step(std::span<const data::Batch> micro_batches,
                              const StepContext& context) {
  try {
    return update(micro_batches, context);
  } catch (const NonFiniteError&) {
    learner_.discard_step();
    // A bad weight explains all that follows from it.
    expect_finite_weights(learner_.parameters(), parallel_.world);
    throw;
  }
}

Metrics TokenizerRecipe::update(std::span<const data::Batch> micro_batches,
                                const StepContext& context) {
  CodebookMetrics codebook(config_, context, parallel_.world);
  Metrics metrics = run_passes(micro_batches, config_, parallel_, context,
                               [&](const data::Batch& batch, const Pass& pass) {
                                 return backward(batch, context, pass, codebook);
                               });
  codebook.report(metrics);
  metrics.append(learner_.clip());
  metrics.append(learner_.update(context));
  return metrics;
}

Metrics TokenizerRecipe::backward(const data::Batch& batch, const StepContext& context,
                                  const Pass& pass, CodebookMetrics& codebook) {
  learner_.begin_pass(pass);
  const auto images = tokenizer_input(batch.images);
  const auto tokenized = learner_.forward(images);
  Metrics metrics = learner_.backward(images, tokenized, /*alignment=*/{}, context, pass.scale);
  metrics.append(
      learner_.backward_discriminator(images, tokenized.reconstruction, context, pass.scale));
  codebook.add(tokenized.quantized);
  learner_.finish_pass();
  return metrics;
}

}  // namespace gear::train
