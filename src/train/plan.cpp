#include "gear/train/plan.h"

#include <algorithm>
#include <numeric>

#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/dist/flat_layout.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/nn/meta_scope.h"
#include "gear/train/flops.h"
#include "gear/train/memory_estimate.h"
#include "gear/train/step_division.h"
#include "gear/train/trained_networks.h"
#include "train/sharding/units.h"

namespace gear::train {
namespace {

constexpr double kFloat = 4.0;
constexpr double kMoments = 2.0;

template <class Get>
double sum_of(const std::vector<NetworkPlan>& networks, Get get) {
  return std::accumulate(networks.begin(), networks.end(), 0.0,
                         [&](double sum, const NetworkPlan& plan) { return sum + get(plan); });
}

/// Elements of a network on one process, in a part, and in its largest unit.
struct Sizes {
  double whole = 0.0;
  double part = 0.0;
  double largest_block = 0.0;
  double root = 0.0;
};

Sizes sizes_of(nn::KeptModule& network, int64_t parts) {
  Sizes sizes;
  for (const NetworkUnit& unit : units_of(network, trainable_names(network))) {
    std::vector<int64_t> numels;
    for (const auto& [name, tensor] : unit.parameters) numels.push_back(tensor.numel());
    const dist::FlatLayout layout(numels, parts);
    sizes.whole += static_cast<double>(std::accumulate(numels.begin(), numels.end(), int64_t{0}));
    sizes.part += static_cast<double>(layout.part_size());
    const auto size = static_cast<double>(layout.size());
    if (unit.is_root()) {
      sizes.root = size;
    } else {
      sizes.largest_block = std::max(sizes.largest_block, size);
    }
  }
  return sizes;
}

int64_t parts_of(const RunConfig& config, int64_t world_size, int64_t ranks_per_node) {
  if (config.parallel.shard == ShardMode::kNone) return 1;
  return config.parallel.within_node ? std::min(world_size, ranks_per_node) : world_size;
}

/// Bytes a rank sends when all `ranks` of a ring pass on pieces of so many elements once.
double ring(double elements, int64_t ranks, double bytes_each) {
  const auto count = static_cast<double>(ranks);
  return elements * bytes_each * (count - 1.0) / count;
}

NetworkPlan plan_network(const TrainedNetwork& network, const RunConfig& config,
                         const RunPlan& run) {
  const ShardMode shard = config.parallel.shard;
  const Sizes sizes = sizes_of(*network.module, run.parts);
  const double averages = network.averaged ? 1.0 : 0.0;
  const double sharded = shard == ShardMode::kNone ? sizes.whole : sizes.part;
  const double held = shard == ShardMode::kFull ? sizes.part : sizes.whole;
  const int64_t replicas = run.world_size / run.parts;
  const double gather_bytes = config.parallel.bf16_gathers ? kFloat / 2.0 : kFloat;

  NetworkPlan plan{.name = network.name, .parameters = static_cast<int64_t>(sizes.whole)};
  plan.total_bytes = kFloat * sizes.whole * (2.0 + kMoments + averages);  // weight and gradient
  // The optimizer of divided networks works on divided gradients, too.
  plan.rank_bytes = kFloat * (held + sharded * (1.0 + kMoments + averages));
  if (shard == ShardMode::kFull) {
    // The block at work, the next one on its way, their gradients, and what is in no block.
    plan.gathered_bytes = kFloat * (3.0 * sizes.largest_block + 2.0 * sizes.root);
    const double gathers = static_cast<double>(2 * network.forward_passes * run.passes);
    plan.traffic_bytes = gathers * ring(sizes.whole, run.parts, gather_bytes) +
                         static_cast<double>(run.passes) * ring(sizes.whole, run.parts, kFloat);
  } else if (shard == ShardMode::kOptimizer) {
    plan.gathered_bytes = kFloat * sizes.whole;  // gradients before they are divided
    plan.traffic_bytes =
        ring(sizes.whole, run.parts, kFloat) + ring(sizes.whole, run.parts, gather_bytes);
  }
  plan.traffic_bytes += 2.0 * ring(sharded, replicas, kFloat);
  return plan;
}

/// A frozen tokenizer is divided like trained networks; teachers and LPIPS are whole.
double frozen_bytes_of_rank(const RunConfig& config, int64_t parts) {
  const double whole = frozen_bytes(config);
  const bool divided = config.parallel.shard == ShardMode::kFull && parts > 1;
  if (!divided || config.recipe != RecipeKind::kAr) return whole;
  const Sizes sizes = sizes_of(*models::make_tokenizer(config.tokenizer), parts);
  const double together = 2.0 * sizes.largest_block + sizes.root;
  return whole + kFloat * (sizes.part + together - sizes.whole);
}

}  // namespace

double RunPlan::total_bytes() const {
  return sum_of(networks, [](const NetworkPlan& plan) { return plan.total_bytes; });
}
double RunPlan::rank_bytes() const {
  return sum_of(networks, [](const NetworkPlan& plan) { return plan.rank_bytes; });
}
double RunPlan::traffic_bytes() const {
  return sum_of(networks, [](const NetworkPlan& plan) { return plan.traffic_bytes; });
}
double RunPlan::peak_bytes() const {
  const double gathered =
      sum_of(networks, [](const NetworkPlan& plan) { return plan.gathered_bytes; });
  return rank_bytes() + gathered + frozen_bytes + activation_bytes;
}

RunPlan plan_run(const RunConfig& config, int64_t world_size, int64_t ranks_per_node) {
  const StepDivision division = divide_step(config, world_size);
  RunPlan plan{.world_size = world_size,
               .parts = parts_of(config, world_size, ranks_per_node),
               .passes = division.passes,
               .micro_batch_size = division.micro_batch_size};
  if (world_size % plan.parts != 0) {
    fail("parallel.within_node: ", world_size, " ranks do not fill machines of ", ranks_per_node,
         "; give a multiple");
  }
  const nn::MetaScope meta;
  for (const TrainedNetwork& network : trained_networks(config)) {
    plan.networks.push_back(plan_network(network, config, plan));
  }
  const auto images = static_cast<double>(division.micro_batch_size);
  plan.frozen_bytes = frozen_bytes_of_rank(config, plan.parts);
  plan.activation_bytes = images * activation_bytes_per_image(config);
  plan.flops = images * static_cast<double>(division.passes) * flops_per_image(config);
  return plan;
}

void expect_enough_memory(const RunConfig& config, const RunPlan& plan, double available) {
  const double needed = plan.peak_bytes();
  if (needed <= available) return;
  const double per_step = plan.activation_bytes;
  std::string advice = "lower ar.dim, ar.depth or tokenizer.ch, or use a machine with more memory";
  if (needed - per_step < 0.7 * available) {
    advice = "raise optimizer.accumulation (now " + std::to_string(config.optimizer.accumulation) +
             "; " + format_bytes(per_step) +
             " belong to one micro-batch), or lower data.batch_size";
  } else if (plan.world_size > 1) {
    advice = ways_to_fit(config, plan).front();
  }
  fail("this run needs about ", format_bytes(needed), plan.world_size > 1 ? " on each rank" : "",
       " (", format_bytes(needed - per_step), " for weights and optimizers, ",
       format_bytes(per_step), " for a step), but ", format_bytes(available), " are free; ",
       advice);
}

std::vector<std::string> ways_to_fit(const RunConfig& config, const RunPlan& plan) {
  std::vector<std::string> ways;
  if (plan.activation_bytes > 0.5 * plan.peak_bytes() && plan.micro_batch_size > 1) {
    ways.emplace_back("raise optimizer.accumulation (now " +
                      std::to_string(config.optimizer.accumulation) +
                      "): a micro-batch of fewer images needs less for its activations");
  }
  if (!config.ar.activation_checkpointing && config.recipe != RecipeKind::kTokenizer) {
    ways.emplace_back("set ar.activation_checkpointing: true, which computes blocks twice");
  }
  if (config.parallel.shard == ShardMode::kNone) {
    ways.emplace_back("set parallel.shard: optimizer, which divides moments and averages");
  }
  if (config.parallel.shard != ShardMode::kFull) {
    ways.emplace_back("set parallel.shard: full, which divides weights and gradients, too");
  }
  if (config.parallel.within_node) {
    ways.emplace_back("set parallel.within_node: false, to divide among all machines");
  }
  ways.emplace_back("use more ranks, or a smaller ar.dim, ar.depth or tokenizer.ch");
  return ways;
}

}  // namespace gear::train
