#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "gear/data/loader.h"

namespace gear::data {

/// The set that a loader hands out, whatever its samples are.
struct TrainingSet {
  std::filesystem::path path;
  int64_t size = 0;
  int64_t num_classes = 0;
};

/// The order of training (see Loader): which samples a rank sees when.
class SampleOrder {
 public:
  /// Throws Error when the set, the batch size and the share do not fit together.
  SampleOrder(const TrainingSet& set, const DataConfig& config, const LoaderShare& share);

  /// Where a micro-batch of this rank stands in the global order.
  struct Place {
    int64_t epoch = 0;
    int64_t first = 0;  ///< of its samples, in the permutation of the epoch
  };
  Place place(int64_t number) const;

  /// Samples of micro-batch `number` of this rank. Not for two threads at once: the permutation of
  /// the last epoch asked for is kept.
  std::vector<int64_t> samples(int64_t number);

  /// The micro-batch of this rank that follows `micro_batch` of them over all ranks, and back.
  int64_t number_after(int64_t micro_batch) const;
  int64_t position(int64_t number) const { return number * share_.world_size; }

  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  int64_t micro_batches_per_epoch() const { return per_epoch_; }

 private:
  LoaderShare share_;
  int64_t size_;
  int64_t steps_per_epoch_;
  int64_t per_epoch_;           // micro-batches of all ranks
  std::vector<int64_t> order_;  // of order_epoch_
  int64_t order_epoch_ = 0;
};

/// Fails for a share that no program would ask for.
void check_share(const LoaderShare& share);

}  // namespace gear::data
