#include "bad_images.h"

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/text.h"

namespace gear::data {

void BadImages::add(int64_t sample, const std::string& file, const std::string& reason) {
  constexpr size_t kMostNamed = 5;
  {
    const std::lock_guard lock(mutex_);
    if (samples_.insert(sample).second) {
      log::warn("image skipped: " + reason);
      if (first_files_.size() < kMostNamed) first_files_.push_back(file);
    }
  }
  check();
}

void BadImages::check() const {
  const std::lock_guard lock(mutex_);
  const auto count = static_cast<int64_t>(samples_.size());
  const double allowed = max_share_ * static_cast<double>(num_images_);
  if (static_cast<double>(count) <= allowed && count < num_images_) return;
  fail(count, " of ", num_images_, " images cannot be read, more than data.max_bad_share (",
       max_share_, ") allows: ", join(first_files_),
       first_files_.size() < samples_.size() ? ", ..." : "",
       "; repair or remove them, or raise data.max_bad_share");
}

bool BadImages::contains(int64_t sample) const {
  const std::lock_guard lock(mutex_);
  return samples_.contains(sample);
}

int64_t BadImages::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(samples_.size());
}

}  // namespace gear::data
