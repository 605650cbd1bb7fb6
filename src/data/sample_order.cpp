#include "sample_order.h"

#include <c10/util/Exception.h>

#include "gear/core/error.h"
#include "gear/core/random.h"

namespace gear::data {
namespace {

/// Fails when the configuration and the found set cannot be trained on.
void check_training_set(const TrainingSet& set, const DataConfig& config,
                        const LoaderShare& share) {
  if (config.num_classes > 0 && set.num_classes > config.num_classes) {
    fail(set.path.string(), ": holds ", set.num_classes,
         " class folders, more than data.num_classes (", config.num_classes,
         "); raise it, or set it to 0 to take the number of folders");
  }
  const int64_t together = share.micro_batch_size * share.world_size;
  if (config.batch_size % together != 0) {
    fail("data.batch_size: must be a multiple of ", together, " (micro-batches of ",
         share.micro_batch_size, " on ", share.world_size, " ranks), got ", config.batch_size);
  }
  expect_full_batch(set.path, set.size, config);
}

}  // namespace

void check_share(const LoaderShare& share) {
  TORCH_CHECK(share.world_size > 0 && share.rank >= 0 && share.rank < share.world_size &&
                  share.micro_batch_size > 0,
              "Loader: rank ", share.rank, " of ", share.world_size, ", micro-batch size ",
              share.micro_batch_size);
}

void expect_full_batch(const std::filesystem::path& path, int64_t size, const DataConfig& config) {
  if (size >= config.batch_size) return;
  fail(path.string(), ": holds ", size, " images, fewer than data.batch_size (", config.batch_size,
       "); lower data.batch_size or add images");
}

SampleOrder::SampleOrder(const TrainingSet& set, const DataConfig& config, const LoaderShare& share)
    : share_(share), size_(set.size) {
  check_share(share);
  check_training_set(set, config, share);
  steps_per_epoch_ = set.size / config.batch_size;
  per_epoch_ = steps_per_epoch_ * (config.batch_size / share.micro_batch_size);
}

SampleOrder::Place SampleOrder::place(int64_t number) const {
  const int64_t global = number * share_.world_size + share_.rank;
  return {global / per_epoch_, global % per_epoch_ * share_.micro_batch_size};
}

std::vector<int64_t> SampleOrder::samples(int64_t number) {
  const Place at = place(number);
  if (order_.empty() || at.epoch != order_epoch_) {
    order_ = permutation(size_, stream_seed(share_.seed, "order", static_cast<uint64_t>(at.epoch)));
    order_epoch_ = at.epoch;
  }
  const auto begin = order_.begin() + at.first;
  return {begin, begin + share_.micro_batch_size};
}

int64_t SampleOrder::number_after(int64_t micro_batch) const {
  TORCH_CHECK(micro_batch >= 0 && micro_batch % share_.world_size == 0, "Loader: position ",
              micro_batch, " is no multiple of ", share_.world_size, " ranks");
  return micro_batch / share_.world_size;
}

}  // namespace gear::data
