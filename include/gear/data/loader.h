#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "gear/data/batch.h"
#include "gear/data/data_config.h"
#include "gear/data/image_folder.h"

namespace gear::data {

/// Which part of the global order one loader hands out.
struct LoaderShare {
  int64_t rank = 0;
  int64_t world_size = 1;
  int64_t micro_batch_size = 1;
  uint64_t seed = 0;
};

/// Throws Error when the set is smaller than one batch of training.
void expect_full_batch(const std::filesystem::path& path, int64_t size, const DataConfig& config);

/// Endless training micro-batches, decoded by `config.workers` threads beside the step.
///
/// Epoch e is a permutation of the set that follows from (seed, e); its last images, fewer than
/// `config.batch_size`, are dropped. The permutation is cut into micro-batches; number p goes to
/// rank p % world_size. So a step of batch_size images sees the same ones on any number of ranks.
/// Crop and flip follow from (seed, epoch, sample).
///
/// An image that cannot be read is named, counted, and replaced by one drawn from (seed, epoch,
/// place in the epoch); too many of them are an Error of next().
class Loader {
 public:
  /// Throws Error when the set, the batch size and the share do not fit together.
  Loader(std::shared_ptr<const ImageFolder> source, const DataConfig& config,
         const LoaderShare& share);
  ~Loader();

  Batch next();

  /// Continues as if `micro_batch` micro-batches, over all ranks, had been handed out since the
  /// start of training; a multiple of the number of ranks. Costs no decoding of what is skipped.
  void seek(int64_t micro_batch);
  int64_t position() const;  ///< what seek() takes to continue from here

  int64_t steps_per_epoch() const;          ///< full batches of `config.batch_size`
  int64_t micro_batches_per_epoch() const;  ///< over all ranks
  int64_t bad_images() const;               ///< distinct ones met so far

  std::vector<int64_t> bad_samples() const;  ///< numbers of those in the source, sorted
  /// Counts what bad_samples() gave before a restart. Each is tried again when its turn comes,
  /// since it may have been repaired in between, and is named again if it was not.
  void restore_bad_samples(const std::vector<int64_t>& samples);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Every image of a held-out set once, in order, short side scaled and centre-cropped, in blocks of
/// `micro_batch_size` that the ranks take in turn. Unreadable images are left out, named and
/// counted. The classes of the set need not be those of the training set.
class ValidationLoader {
 public:
  ValidationLoader(std::shared_ptr<const ImageFolder> source, const DataConfig& config,
                   const LoaderShare& share);
  ~ValidationLoader();

  std::optional<Batch> next();  ///< nothing after the last one, which may be smaller
  void restart();
  /// Goes on with block `block` of the rank, counted from 0.
  void seek(int64_t block);
  int64_t bad_images() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gear::data
