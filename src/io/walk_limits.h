#pragma once

#include <cstdint>
#include <string>

#include "gear/core/error.h"

namespace gear::io {

/// Bounds of a walk over the values of a pickle: they may be shared many times over, hold
/// themselves, or stand under long names that they share.
class WalkLimits {
 public:
  /// Counts a value `depth` levels below the root. Throws Error where no checkpoint has that many.
  void count(int depth, const std::string& name) {
    name_bytes_ += name.size();
    if (depth > kMaxDepth || ++visits_ > kMaxVisits || name_bytes_ > kMaxNameBytes) {
      fail(
          "the values are nested deeper, shared more often or named longer than in any checkpoint; "
          "save the state_dict alone");
    }
  }

 private:
  static constexpr int kMaxDepth = 100;
  static constexpr int64_t kMaxVisits = 1'000'000;
  static constexpr uint64_t kMaxNameBytes = 100'000'000;

  int64_t visits_ = 0;
  uint64_t name_bytes_ = 0;
};

}  // namespace gear::io
