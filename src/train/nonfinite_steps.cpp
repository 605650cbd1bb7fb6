#include "gear/train/nonfinite_steps.h"

namespace gear::train {

NonfiniteSteps::Answer NonfiniteSteps::failed(int64_t step, bool damaged) {
  if (choice_ == OnNonfinite::kStop || left_out_in_a_row_ >= kMostInARow) return Answer::kStop;
  if (choice_ == OnNonfinite::kRollback) {
    if (!failed_once_.insert(step).second) failed_twice_.insert(step);
    left_out_in_a_row_ = 0;
    return Answer::kGoBack;
  }
  if (damaged) return Answer::kStop;
  ++left_out_in_a_row_;
  return Answer::kLeaveOut;
}

bool NonfiniteSteps::is_left_out(int64_t step) {
  if (!failed_twice_.contains(step)) return false;
  ++left_out_in_a_row_;
  return true;
}

}  // namespace gear::train
