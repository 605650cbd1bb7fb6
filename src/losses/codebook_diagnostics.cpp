#include "gear/losses/codebook_diagnostics.h"

#include <ATen/ops/zeros.h>

namespace gear::losses {
namespace {

void append(std::vector<std::pair<std::string, Tensor>>& metrics, const std::string& entropy_name,
            const std::string& prefix, const AssignmentDiagnostics& values) {
  metrics.emplace_back(prefix + entropy_name, values.entropy);
  metrics.emplace_back(prefix + "effective_size", values.effective_size);
  for (size_t i = 0; i < ops::kTopCounts.size(); ++i) {
    metrics.emplace_back(prefix + "top" + std::to_string(ops::kTopCounts[i]) + "_prob",
                         values.top_mass[i]);
  }
}

}  // namespace

AssignmentDiagnostics mean_of(const std::vector<AssignmentDiagnostics>& batches) {
  TORCH_CHECK(!batches.empty(), "mean_of: no diagnostics");
  AssignmentDiagnostics sum = batches[0];
  for (size_t i = 1; i < batches.size(); ++i) {
    sum.entropy = sum.entropy + batches[i].entropy;
    for (size_t k = 0; k < ops::kTopCounts.size(); ++k) {
      sum.top_mass[k] = sum.top_mass[k] + batches[i].top_mass[k];
    }
  }
  const auto count = static_cast<double>(batches.size());
  AssignmentDiagnostics mean{.entropy = sum.entropy / count,
                             .effective_size = (sum.entropy / count).exp(),
                             .top_mass = {}};
  for (size_t k = 0; k < ops::kTopCounts.size(); ++k) mean.top_mass[k] = sum.top_mass[k] / count;
  return mean;
}

Tensor codebook_usage(const Tensor& ids, int64_t codebook_size) {
  const auto used = at::zeros({codebook_size}, ids.options().dtype(at::kFloat));
  return used.index_fill(0, ids.flatten(), 1.0).mean();
}

std::vector<std::pair<std::string, Tensor>> assignment_metrics(const AssignmentDiagnostics& natural,
                                                               const AssignmentDiagnostics& soft) {
  std::vector<std::pair<std::string, Tensor>> metrics;
  append(metrics, "natural_entropy_nats", "codebook/", natural);
  append(metrics, "entropy_nats", "soft/", soft);
  return metrics;
}

}  // namespace gear::losses
