#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gear/train/run_config.h"

namespace gear::train {

/// What a rank holds of a trained network, and what it sends and receives for it in a step.
struct NetworkPlan {
  std::string name;
  int64_t parameters = 0;       ///< of the whole network
  double total_bytes = 0.0;     ///< weights, gradients, moments and average on one process
  double rank_bytes = 0.0;      ///< of these on the largest rank, between two steps
  double gathered_bytes = 0.0;  ///< most that is brought together beside them during a step
  double traffic_bytes = 0.0;   ///< sent by a rank in a step; as many arrive
};

/// A run on `world_size` ranks, counted from the shapes of its networks alone.
struct RunPlan {
  int64_t world_size = 1;
  int64_t parts = 1;  ///< ranks that share one copy of what is divided
  int64_t passes = 1;
  int64_t micro_batch_size = 1;
  std::vector<NetworkPlan> networks{};
  double frozen_bytes = 0.0;      ///< teacher, LPIPS, a frozen tokenizer (with what of it is
                                  ///< brought together at once, where it is divided)
  double activation_bytes = 0.0;  ///< of a micro-batch, right to about a third
  double flops = 0.0;             ///< of a rank in a step, right to about a third

  double total_bytes() const;    ///< of all trained networks on one process
  double rank_bytes() const;     ///< of them on the largest rank
  double peak_bytes() const;     ///< all that a rank needs at once
  double traffic_bytes() const;  ///< of a rank in a step
};

/// Ranks come `ranks_per_node` to a machine, which matters with parallel.within_node. Throws Error
/// when the step cannot be divided among so many.
RunPlan plan_run(const RunConfig& config, int64_t world_size, int64_t ranks_per_node);

/// Throws Error when a rank needs more than `available` bytes; the sentence says what to change.
void expect_enough_memory(const RunConfig& config, const RunPlan& plan, double available);

/// What to change so that a rank needs less, best first; at least one sentence.
std::vector<std::string> ways_to_fit(const RunConfig& config, const RunPlan& plan);

}  // namespace gear::train
