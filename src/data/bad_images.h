#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

namespace gear::data {

/// The images of one set that could not be read so far. Thread-safe.
class BadImages {
 public:
  BadImages(int64_t num_images, double max_share)
      : num_images_(num_images), max_share_(max_share) {}

  /// Counts `sample` and names it in a warning, the first time; then as check().
  void add(int64_t sample, const std::string& file, const std::string& reason);
  /// Throws Error while more than the allowed share of the set, or all of it, is bad.
  void check() const;
  bool contains(int64_t sample) const;
  int64_t count() const;

 private:
  int64_t num_images_;
  double max_share_;
  mutable std::mutex mutex_;
  std::unordered_set<int64_t> samples_;
  std::vector<std::string> first_files_;
};

}  // namespace gear::data
