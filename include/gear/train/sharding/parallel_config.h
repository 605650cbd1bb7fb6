#pragma once

#include <array>
#include <cstdint>

#include "gear/config/config.h"

namespace gear::train {

/// What is divided among the ranks of a run instead of standing on each of them.
enum class ShardMode { kNone, kOptimizer, kFull };

/// How a run is spread over processes. One process ignores all of it but `deterministic`.
struct ParallelConfig {
  ShardMode shard = ShardMode::kNone;
  bool within_node = false;
  bool bf16_gathers = false;
  bool deterministic = false;
  int64_t timeout_seconds = 300;

  template <class Visitor>
  void fields(Visitor& v) {
    v("shard", shard,
      "none: every rank holds everything; optimizer: moments and averages are divided; full: "
      "parameters too, brought together block by block.");
    v("within_node", within_node,
      "Divide among the ranks of a machine only, and hold a copy on each machine.");
    v("bf16_gathers", bf16_gathers,
      "Send parameters as bfloat16: half the traffic, and blocks compute with rounded ones; the "
      "optimizer keeps float32.");
    v("deterministic", deterministic,
      "Add gradients in the order of micro-batches, whatever the number of ranks: the same bits on "
      "1, 2, 4, ... ranks. Batch statistics are then those of a micro-batch.");
    v("timeout_seconds", timeout_seconds,
      "After so long without an answer from a rank it is named and all ranks stop.",
      config::in_range(1, 86400));
  }
};

}  // namespace gear::train

template <>
struct gear::config::EnumNames<gear::train::ShardMode> {
  static constexpr std::array<const char*, 3> value = {"none", "optimizer", "full"};
};
