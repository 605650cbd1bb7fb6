#include "bad_images.h"

#include <algorithm>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/text.h"

namespace gear::data {

void BadImages::add(int64_t sample, const std::string& file, const std::string& reason) {
  constexpr size_t kMostNamed = 5;
  {
    const std::lock_guard lock(mutex_);
    suspected_.erase(sample);
    if (found_.insert(sample).second) {
      log::warn("image skipped: " + reason);
      if (first_files_.size() < kMostNamed) first_files_.push_back(file);
    }
  }
  check();
}

void BadImages::check() const {
  const int64_t bad = count();
  const double allowed = max_share_ * static_cast<double>(num_images_);
  if (static_cast<double>(bad) <= allowed && bad < num_images_) return;
  const std::lock_guard lock(mutex_);
  fail(bad, " of ", num_images_, " images cannot be read, more than data.max_bad_share (",
       max_share_, ") allows: ", join(first_files_),
       static_cast<int64_t>(first_files_.size()) < bad ? ", ..." : "",
       "; repair or remove them, or for training raise data.max_bad_share");
}

bool BadImages::contains(int64_t sample) const {
  const std::lock_guard lock(mutex_);
  return found_.contains(sample);
}

int64_t BadImages::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(found_.size() + suspected_.size());
}

std::vector<int64_t> BadImages::samples() const {
  const std::lock_guard lock(mutex_);
  std::vector<int64_t> all(found_.begin(), found_.end());
  all.insert(all.end(), suspected_.begin(), suspected_.end());
  std::sort(all.begin(), all.end());
  return all;
}

void BadImages::restore(const std::vector<int64_t>& samples) {
  const std::lock_guard lock(mutex_);
  for (const int64_t sample : samples) {
    const bool in_set = sample >= 0 && sample < num_images_;
    if (in_set && !found_.contains(sample)) suspected_.insert(sample);
  }
}

void BadImages::clear_suspicion(int64_t sample) {
  const std::lock_guard lock(mutex_);
  suspected_.erase(sample);
}

}  // namespace gear::data
