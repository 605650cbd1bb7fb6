#include "gear/train/recipes/micro_batches.h"

#include <ATen/Context.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "gear/core/random.h"
#include "gear/nn/dropout.h"

namespace gear::train {
namespace {

/// "" unless one of the terms is not finite.
std::string fault_of(const Tensor& total, const Metrics& terms) {
  const auto sentence = [](const std::string& name, double value) {
    return "the loss " + name + (std::isnan(value) ? " is NaN" : " is infinite");
  };
  const double value = total.item<double>();
  if (std::isfinite(value)) return "";
  for (const auto& [name, term] : terms.host_values()) {
    if (!std::isfinite(term)) return sentence(name, term);
  }
  return sentence("total", value);
}

/// Dropout by samples, where the batch says which ones it has.
std::optional<nn::SampleDrawsScope> sample_draws(const RunConfig& config,
                                                 const StepContext& context,
                                                 const data::Batch& batch) {
  if (batch.sample_ids.empty()) return std::nullopt;
  std::vector<uint64_t> seeds;
  for (const int64_t sample : batch.sample_ids) {
    seeds.push_back(stream_seed(static_cast<uint64_t>(config.seed), "dropout",
                                static_cast<uint64_t>(context.step),
                                static_cast<uint64_t>(sample)));
  }
  return std::optional<nn::SampleDrawsScope>(std::in_place, std::move(seeds));
}

void seed_pass(const RunConfig& config, const StepContext& context, int64_t place) {
  at::manual_seed(stream_seed(static_cast<uint64_t>(config.seed), "step",
                              static_cast<uint64_t>(context.step), static_cast<uint64_t>(place)));
}

}  // namespace

Metrics run_passes(std::span<const data::Batch> micro_batches, const RunConfig& config,
                   const Parallel& parallel, const StepContext& context,
                   const std::function<Metrics(const data::Batch&, const Pass&)>& backward) {
  const auto count = static_cast<int64_t>(micro_batches.size());
  const dist::World& world = parallel.world;
  const double scale = 1.0 / static_cast<double>(count * world.size());
  Metrics metrics;
  for (int64_t i = 0; i < count; ++i) {
    seed_pass(config, context, i * world.size() + world.rank());
    const data::Batch& batch = micro_batches[static_cast<size_t>(i)];
    const auto draws = sample_draws(config, context, batch);
    const Metrics found = backward(batch, {.scale = scale, .last = i + 1 == count});
    if (!context.diagnostics && !world.is_single()) continue;  // nobody reads them
    for (const Metrics& of_rank : found.of_all_ranks(world)) metrics.accumulate(of_rank, scale);
  }
  return metrics;
}

Tensor tokenizer_input(const Tensor& images) {
  if (images.is_floating_point()) return images;
  // Channels last: convolutions need no copies to and from their own layout, norms are fused.
  return models::to_signed_unit(images).contiguous(at::MemoryFormat::ChannelsLast);
}

void set_trainable(torch::nn::Module& module, bool trainable) {
  for (auto& parameter : module.parameters()) parameter.requires_grad_(trainable);
}

void LossCheck::add(const Tensor& total, const Metrics& terms) {
  losses_.emplace_back(total.detach(), terms);
}

void LossCheck::expect_finite(const dist::World& world) {
  const auto losses = std::exchange(losses_, {});
  if (losses.empty()) return;
  std::vector<Tensor> totals;
  for (const auto& [total, terms] : losses) totals.push_back(total.to(at::kDouble));
  const Tensor bad = at::isfinite(at::stack(totals)).logical_not().sum();
  world.sum(bad);
  if (bad.item<int64_t>() == 0) return;
  std::string fault;
  for (const auto& [total, terms] : losses) {
    if (fault.empty()) fault = fault_of(total, terms);
  }
  throw NonFiniteError(dist::first_of_ranks(fault, world));
}

void expect_finite_weights(const std::vector<NamedParameter>& weights, const dist::World& world) {
  const std::string name = dist::first_of_ranks(first_nonfinite(weights), world);
  if (!name.empty()) throw NonFiniteError("the weight " + name + " is not finite");
}

}  // namespace gear::train
