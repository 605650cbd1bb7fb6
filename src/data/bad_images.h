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

  std::vector<int64_t> samples() const;  ///< sorted

  /// Counts samples that an earlier process found; numbers beyond the set are left out. Until they
  /// are met again they are no more than suspected, not contained: the user may have repaired them,
  /// or removed them, whereupon their numbers belong to others.
  void restore(const std::vector<int64_t>& samples);
  /// Takes `sample`, which has been read, off the suspected ones.
  void clear_suspicion(int64_t sample);

 private:
  int64_t num_images_;
  double max_share_;
  mutable std::mutex mutex_;
  std::unordered_set<int64_t> found_;      // by this process
  std::unordered_set<int64_t> suspected_;  // restored and not met yet; none of them in found_
  std::vector<std::string> first_files_;
};

}  // namespace gear::data
