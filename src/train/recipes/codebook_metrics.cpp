#include "gear/train/recipes/codebook_metrics.h"

#include <ATen/ops/cat.h>

#include "gear/losses/codebook_diagnostics.h"

namespace gear::train {

void CodebookUsage::report(Metrics& metrics) const {
  metrics.add("codebook_usage", losses::codebook_usage(at::cat(ids_), codebook_size_));
}

void add_diagnostics(Metrics& metrics, const Tensor& cost, double temperature) {
  for (const auto& [name, value] : losses::assignment_metrics(cost.detach(), temperature)) {
    metrics.add(name, value);
  }
  metrics.add("temperature", temperature);
}

}  // namespace gear::train
