#include "gear/losses/codebook_diagnostics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

// T tokens, R rows of a block, K codes

namespace gear::losses {
namespace {

constexpr std::array<int64_t, 4> kTopCounts = {1, 10, 100, 1000};

// A block and its exponentials stay in a CPU's last-level cache (4 MiB of float32 each).
constexpr int64_t kBlockValues = int64_t{1} << 20;

/// Sums over the tokens seen so far; float64 keeps the block size out of the result.
struct Sums {
  Tensor entropy;
  std::array<Tensor, 4> top_mass;
};

Sums zero_sums(const Tensor& like) {
  const auto zero = [&] { return at::zeros({}, like.options().dtype(at::kDouble)); };
  return {.entropy = zero(), .top_mass = {zero(), zero(), zero(), zero()}};
}

/// Adds the tokens of one block.
///   shifted [R, K]  cost minus its smallest value per row, so exponents are at most 0
///   nearest [R, n]  the smallest values of `shifted`, ascending
void accumulate(Sums& sums, const Tensor& shifted, const Tensor& nearest, double temperature) {
  const auto weights = (shifted * (-1.0 / temperature)).exp_();  // [R, K]
  const auto total = weights.sum(1);                             // [R]
  const auto mean_cost = (weights * shifted).sum(1) / total;     // [R]
  // H = -sum p ln p with ln p = -shifted / temperature - ln total.
  const auto entropy = mean_cost / temperature + total.log();
  sums.entropy += entropy.sum(0, /*keepdim=*/false, at::kDouble);

  const auto likeliest = (nearest * (-1.0 / temperature)).exp_() / total.unsqueeze(1);  // [R, n]
  for (size_t i = 0; i < kTopCounts.size(); ++i) {
    sums.top_mass[i] += likeliest.slice(1, 0, kTopCounts[i]).sum(at::kDouble);
  }
}

AssignmentDiagnostics per_token(const Sums& sums, int64_t tokens) {
  const auto count = static_cast<double>(tokens);
  const auto entropy = sums.entropy / count;
  AssignmentDiagnostics result{.entropy = entropy.to(at::kFloat),
                               .effective_size = entropy.exp().to(at::kFloat),
                               .top_mass = {}};
  for (size_t i = 0; i < kTopCounts.size(); ++i) {
    result.top_mass[i] = (sums.top_mass[i] / count).to(at::kFloat);
  }
  return result;
}

void append(std::vector<std::pair<std::string, Tensor>>& metrics, const std::string& entropy_name,
            const std::string& prefix, const AssignmentDiagnostics& values) {
  metrics.emplace_back(prefix + entropy_name, values.entropy);
  metrics.emplace_back(prefix + "effective_size", values.effective_size);
  for (size_t i = 0; i < kTopCounts.size(); ++i) {
    metrics.emplace_back(prefix + "top" + std::to_string(kTopCounts[i]) + "_prob",
                         values.top_mass[i]);
  }
}

}  // namespace

std::vector<AssignmentDiagnostics> assignment_diagnostics(const Tensor& cost,
                                                          const std::vector<double>& temperatures) {
  TORCH_CHECK(cost.dim() == 2 && cost.size(0) > 0,
              "assignment_diagnostics: cost must be [T, K], got ", cost.sizes());
  const at::NoGradGuard no_grad;
  const int64_t tokens = cost.size(0), codes = cost.size(1);
  const int64_t rows = std::max<int64_t>(1, kBlockValues / codes);
  const int64_t group = std::min(kTopCounts.back(), codes);

  std::vector<Sums> sums;
  for (size_t i = 0; i < temperatures.size(); ++i) sums.push_back(zero_sums(cost));
  for (int64_t row = 0; row < tokens; row += rows) {
    const auto block = cost.slice(0, row, row + rows).to(at::kFloat);  // [R, K]
    // The order of the codes does not depend on the temperature: one selection serves all.
    const auto smallest = std::get<0>(at::topk(block, group, 1, /*largest=*/false));  // [R, n]
    const auto lowest = smallest.slice(1, 0, 1);                                      // [R, 1]
    const auto shifted = block - lowest;
    const auto nearest = smallest - lowest;
    for (size_t i = 0; i < temperatures.size(); ++i) {
      accumulate(sums[i], shifted, nearest, temperatures[i]);
    }
  }
  std::vector<AssignmentDiagnostics> results;
  for (const Sums& sum : sums) results.push_back(per_token(sum, tokens));
  return results;
}

AssignmentDiagnostics mean_of(const std::vector<AssignmentDiagnostics>& batches) {
  TORCH_CHECK(!batches.empty(), "mean_of: no diagnostics");
  AssignmentDiagnostics sum = batches[0];
  for (size_t i = 1; i < batches.size(); ++i) {
    sum.entropy = sum.entropy + batches[i].entropy;
    for (size_t k = 0; k < kTopCounts.size(); ++k) {
      sum.top_mass[k] = sum.top_mass[k] + batches[i].top_mass[k];
    }
  }
  const auto count = static_cast<double>(batches.size());
  AssignmentDiagnostics mean{.entropy = sum.entropy / count,
                             .effective_size = (sum.entropy / count).exp(),
                             .top_mass = {}};
  for (size_t k = 0; k < kTopCounts.size(); ++k) mean.top_mass[k] = sum.top_mass[k] / count;
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
