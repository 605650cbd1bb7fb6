#pragma once

#include <cstdint>
#include <memory>

#include "gear/data/batch.h"
#include "gear/data/data_config.h"
#include "gear/data/index_set.h"
#include "gear/data/loader.h"

namespace gear::data {

/// Endless training micro-batches of stored indices, in the order in which Loader hands out the
/// pictures they come from: with the same seed and the same set the same samples stand in the same
/// batches, mirrored in the same epochs where the set has the mirrored pictures and
/// `config.random_flip` asks for them. The crop is the one that was encoded.
class IndexLoader {
 public:
  /// Throws Error when the set, the batch size and the share do not fit together.
  IndexLoader(std::shared_ptr<const IndexSet> source, const DataConfig& config,
              const LoaderShare& share);
  ~IndexLoader();

  Batch next();
  void seek(int64_t micro_batch);  ///< as Loader::seek
  int64_t position() const;        ///< what seek() takes to continue from here

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gear::data
