#include "gear/train/recipes/codebook_metrics.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include "gear/dist/pass_order.h"

namespace gear::train {
namespace {

using ops::AssignmentDiagnostics;

/// The diagnostics of every pass of every rank.
std::vector<AssignmentDiagnostics> of_all_ranks(const std::vector<AssignmentDiagnostics>& own,
                                                const dist::World& world) {
  if (world.is_single()) return own;
  std::vector<Tensor> rows;
  for (const auto& values : own) {
    const auto& top = values.top_mass;
    rows.push_back(
        at::stack({values.entropy, values.effective_size, top[0], top[1], top[2], top[3]}));
  }
  std::vector<AssignmentDiagnostics> all;
  for (const Tensor& row : dist::in_pass_order(rows, static_cast<int64_t>(rows.size()), world)) {
    all.push_back({.entropy = row[0],
                   .effective_size = row[1],
                   .top_mass = {row[2], row[3], row[4], row[5]}});
  }
  return all;
}

}  // namespace

CodebookMetrics::CodebookMetrics(const RunConfig& config, const StepContext& context,
                                 const dist::World& world)
    : world_(world),
      codebook_size_(config.tokenizer.quantizer.num_ids()),
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
  if (!diagnostics_ && !world_.is_single()) return;  // nobody reads them
  const Tensor ids = world_.stack(at::cat(ids_));
  metrics.add("codebook_usage", losses::codebook_usage(ids, codebook_size_));
  if (!diagnostics_) return;
  const auto natural = losses::mean_of(of_all_ranks(natural_, world_));
  const auto soft = losses::mean_of(of_all_ranks(soft_, world_));
  for (const auto& [name, value] : losses::assignment_metrics(natural, soft)) {
    metrics.add(name, value);
  }
  metrics.add("temperature", temperature_);
}

}  // namespace gear::train
