#include "gear/train/recipes/codebook_metrics.h"

#include <ATen/ops/cat.h>

namespace gear::train {

CodebookMetrics::CodebookMetrics(const RunConfig& config, const StepContext& context)
    : codebook_size_(config.tokenizer.quantizer.num_ids()),
      temperature_(config.loss.temperature),
      diagnostics_(context.diagnostics) {}

void CodebookMetrics::add(const models::Quantized& quantized) {
  ids_.push_back(quantized.ids.detach().flatten());
  if (!diagnostics_) return;
  auto found =
      ops::read_out(quantized.costs.detach(), {}, {.diagnostics = {1.0, temperature_}}).diagnostics;
  natural_.push_back(std::move(found[0]));
  soft_.push_back(std::move(found[1]));
}

void CodebookMetrics::report(Metrics& metrics) const {
  metrics.add("codebook_usage", losses::codebook_usage(at::cat(ids_), codebook_size_));
  if (!diagnostics_) return;
  const auto natural = losses::mean_of(natural_);
  const auto soft = losses::mean_of(soft_);
  for (const auto& [name, value] : losses::assignment_metrics(natural, soft)) {
    metrics.add(name, value);
  }
  metrics.add("temperature", temperature_);
}

}  // namespace gear::train
