#pragma once

#include <cstdint>
#include <set>

#include "gear/train/optimizer_config.h"

namespace gear::train {

/// Decides what a run does about steps whose loss or gradient is not finite:
///   stop      it ends
///   skip      the step is left out, unless it damaged what the run keeps
///   rollback  the run goes back to its newest checkpoint. A step that fails again there is left
///             out the next time: its data are the cause, not a passing fault.
class NonfiniteSteps {
 public:
  enum class Answer { kStop, kLeaveOut, kGoBack };

  /// Beyond this many steps left out in a row the run is not recovering by itself.
  static constexpr int64_t kMostInARow = 10;

  explicit NonfiniteSteps(OnNonfinite choice) : choice_(choice) {}

  /// `step` has failed; `damaged`: running statistics or weights of the run are not finite either.
  Answer failed(int64_t step, bool damaged);
  /// Whether `step` has failed before and after the run went back, so that it must not run again.
  bool is_left_out(int64_t step);
  void succeeded() { left_out_in_a_row_ = 0; }

 private:
  OnNonfinite choice_;
  std::set<int64_t> failed_once_, failed_twice_;
  int64_t left_out_in_a_row_ = 0;
};

}  // namespace gear::train
