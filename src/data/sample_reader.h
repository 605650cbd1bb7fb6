#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "bad_images.h"
#include "gear/data/data_config.h"
#include "gear/data/image_folder.h"
#include "gear/data/transform.h"

namespace gear::data {

/// Scaled images that stay in memory while they fit. Thread-safe.
class ImageCache {
 public:
  using Entry = std::shared_ptr<const io::Image>;

  /// Keeps nothing when `num_images` squares of `side` alone would exceed the budget: a cache of a
  /// small part of a set costs memory and saves little.
  ImageCache(int64_t num_images, int64_t side, int64_t budget_bytes);

  /// Whether an image of this size will be kept. Much larger ones than a square never are: a thin
  /// picture grows by its long side when the short one is scaled.
  bool fits(ImageSize size) const;
  Entry find(int64_t sample) const;  ///< nullptr when absent
  void insert(int64_t sample, const Entry& image);

 private:
  int64_t square_bytes_;
  int64_t budget_bytes_;
  mutable std::mutex mutex_;
  int64_t used_bytes_ = 0;
  std::vector<Entry> entries_;
};

/// From sample number to the pixels of its crop. Thread-safe.
class SampleReader {
 public:
  SampleReader(std::shared_ptr<const ImageFolder> source, const DataConfig& config, Filter filter);

  /// Writes uint8 [3, S, S] to `out`. False when the image cannot be read; it is then counted.
  bool read(int64_t sample, const Cut& cut, uint8_t* out);

  const ImageFolder& source() const { return *source_; }
  BadImages& bad_images() { return bad_images_; }
  const BadImages& bad_images() const { return bad_images_; }

 private:
  void decode_and_cut(int64_t sample, const Cut& cut, uint8_t* out);
  io::Image decode(int64_t sample, const Cut& cut);
  Window wanted(ImageSize size, const Cut& cut) const;
  void warn_once(std::atomic<bool>& warned, bool met, int64_t sample, const char* advice);

  std::shared_ptr<const ImageFolder> source_;
  io::DecodeOptions options_;
  int64_t side_;
  Filter filter_;
  ImageCache cache_;
  BadImages bad_images_;
  std::atomic<bool> warned_sixteen_bit_ = false;
  std::atomic<bool> warned_alpha_ = false;
  std::atomic<bool> warned_orientation_ = false;
};

}  // namespace gear::data
