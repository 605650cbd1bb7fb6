#pragma once

#include <cstdint>

#include "gear/core/clock.h"
#include "gear/core/progress.h"

namespace gear::cli {

/// Says how many bytes of tensors have been read, once that takes seconds.
class ValueProgress {
 public:
  explicit ValueProgress(int64_t all_bytes) : all_bytes_(all_bytes) {}
  void add(int64_t bytes);

 private:
  ProgressLine line_;
  double start_ = seconds_now();
  int64_t bytes_ = 0;
  int64_t all_bytes_;
};

}  // namespace gear::cli
