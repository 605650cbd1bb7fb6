#pragma once

#include <functional>
#include <memory>

#include "gear/data/image_folder.h"
#include "gear/data/index_set.h"
#include "gear/data/loader.h"
#include "gear/train/batch_source.h"
#include "gear/train/checkpoint.h"
#include "gear/train/run_config.h"

namespace gear::cli {

/// What a run learns from: the pictures of a folder, or the indices they were encoded to. One of
/// the two is there.
struct TrainingData {
  std::shared_ptr<const data::ImageFolder> images;
  std::shared_ptr<const data::IndexSet> indices;

  int64_t size() const { return images ? images->size() : indices->size(); }
  int64_t num_classes() const;
  train::DataFingerprint fingerprint() const;
  /// Tells how much there is, and which settings of `config` do not apply to indices.
  void describe(const data::DataConfig& config) const;
};

/// Opens what the configuration names, fills in data.num_classes where it is 0, and checks that the
/// two fit together. Throws Error with the key to change.
TrainingData open_training_data(train::RunConfig& config);

/// The batches of a run, and how many pictures could not be read so far.
struct OpenedSource {
  std::unique_ptr<train::BatchSource> batches;
  std::function<int64_t()> bad_images;
};
OpenedSource open_source(const TrainingData& data, const data::DataConfig& config,
                         const data::LoaderShare& share, c10::Device device);

}  // namespace gear::cli
