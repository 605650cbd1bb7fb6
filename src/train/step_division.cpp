#include "gear/train/step_division.h"

#include "gear/core/error.h"

namespace gear::train {

StepDivision divide_step(const RunConfig& config, int64_t world_size) {
  const int64_t accumulation = config.optimizer.accumulation;
  if (config.parallel.deterministic && accumulation % world_size != 0) {
    fail(
        "optimizer.accumulation: with parallel.deterministic it counts the micro-batches of all "
        "ranks and must be a multiple of the ",
        world_size, " ranks, got ", accumulation, "; set it to ", world_size,
        " or a multiple, the same on any number of ranks");
  }
  const int64_t micro_batches =
      config.parallel.deterministic ? accumulation : accumulation * world_size;
  if (config.data.batch_size % micro_batches != 0) {
    fail("data.batch_size: must be a multiple of ", micro_batches, " (", world_size, " ranks with ",
         micro_batches / world_size, " micro-batches each), got ", config.data.batch_size,
         "; change it, optimizer.accumulation or the number of ranks");
  }
  return {.passes = micro_batches / world_size,
          .micro_batches = micro_batches,
          .micro_batch_size = config.data.batch_size / micro_batches};
}

}  // namespace gear::train
