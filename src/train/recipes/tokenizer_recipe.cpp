#include "gear/train/recipes/tokenizer_recipe.h"

#include "gear/train/recipes/codebook_metrics.h"
#include "gear/train/recipes/micro_batches.h"

namespace gear::train {

TokenizerRecipe::TokenizerRecipe(TokenizerNetworks networks, const RunConfig& config)
    : config_(config), learner_(std::move(networks), config) {}

Metrics TokenizerRecipe::step(std::span<const data::Batch> micro_batches,
                              const StepContext& context) {
  CodebookUsage usage(config_.tokenizer.quantizer.codebook_size);
  Metrics metrics = accumulate(micro_batches, [&](const data::Batch& batch, double scale) {
    return backward(batch, context, scale, usage);
  });
  usage.report(metrics);
  metrics.append(learner_.clip());
  metrics.append(learner_.update(context));
  return metrics;
}

Metrics TokenizerRecipe::backward(const data::Batch& batch, const StepContext& context,
                                  double scale,
                             CodebookUsage& usage) {
  const auto images = tokenizer_input(batch.images);
  const auto tokenized = learner_.forward(images);
  Metrics metrics = learner_.backward(images, tokenized, /*extra_loss=*/{}, context, scale);
  metrics.append(learner_.backward_discriminator(images, tokenized.reconstruction, context, scale));
  usage.add(tokenized.quantized.ids);
  if (context.diagnostics) add_diagnostics(metrics, tokenized.quantized.cost, config_.loss.temperature);
  return metrics;
}

}  // namespace gear::train
