#include "gear/train/recipes/tokenizer_recipe.h"

#include "gear/train/recipes/codebook_metrics.h"
#include "gear/train/recipes/micro_batches.h"

namespace gear::train {

TokenizerRecipe::TokenizerRecipe(TokenizerNetworks networks, const RunConfig& config)
    : config_(config), learner_(std::move(networks), config) {}

Metrics TokenizerRecipe::step(std::span<const data::Batch> micro_batches,
                              const StepContext& context) {
  try {
    return update(micro_batches, context);
  } catch (const NonFiniteError&) {
    expect_finite_weights(learner_.parameters());  // a bad weight explains all that follows from it
    throw;
  }
}

Metrics TokenizerRecipe::update(std::span<const data::Batch> micro_batches,
                                const StepContext& context) {
  CodebookMetrics codebook(config_, context);
  Metrics metrics = accumulate(micro_batches, [&](const data::Batch& batch, double scale) {
    return backward(batch, context, scale, codebook);
  });
  codebook.report(metrics);
  metrics.append(learner_.clip());
  metrics.append(learner_.update(context));
  return metrics;
}

Metrics TokenizerRecipe::backward(const data::Batch& batch, const StepContext& context,
                                  double scale, CodebookMetrics& codebook) {
  const auto images = tokenizer_input(batch.images);
  const auto tokenized = learner_.forward(images);
  Metrics metrics = learner_.backward(images, tokenized, /*alignment=*/{}, context, scale);
  metrics.append(learner_.backward_discriminator(images, tokenized.reconstruction, context, scale));
  codebook.add(tokenized.quantized);
  return metrics;
}

}  // namespace gear::train
