#pragma once

#include "train/save_plan.h"

namespace gear::train {

/// Host copies of what a rank writes. Their memory is kept for the next time.
class Snapshot {
 public:
  /// The plan with copies in the place of the live tensors, which may change from now on. The
  /// copies hold until the next call.
  SavePlan take(const SavePlan& plan);

 private:
  void reserve(int64_t bytes, bool pinned);

  Tensor buffer_;  // bytes
  bool pinned_ = false;
};

}  // namespace gear::train
