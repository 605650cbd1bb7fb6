#pragma once

#include <cstdint>

#include "gear/train/run_config.h"

namespace gear::train {

/// How the images of a step are divided into micro-batches.
struct StepDivision {
  int64_t passes = 1;            ///< micro-batches of each rank
  int64_t micro_batches = 1;     ///< of all ranks
  int64_t micro_batch_size = 1;  ///< images in each
};

/// For `world_size` ranks. optimizer.accumulation counts the micro-batches of a rank; with
/// parallel.deterministic those of all ranks, so that they are the same whatever the number of
/// ranks. Throws Error naming the key that does not fit.
StepDivision divide_step(const RunConfig& config, int64_t world_size);

}  // namespace gear::train
