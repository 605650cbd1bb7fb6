// What the trainer does when a step is not finite.

#include <string>

#include "gear/core/log.h"
#include "gear/train/trainer.h"
#include "train/run_log.h"

namespace gear::train {

/// Whether the step counts as done, without an update; false when the run has gone back instead.
/// Throws when it cannot go on.
bool Trainer::survives(const NonFiniteError& error) {
  const std::string what = "step " + std::to_string(position_.step + 1) + ": " + error.what();
  const std::string damaged = damaged_tensor();
  const auto answer = nonfinite_steps_.failed(position_.step, !damaged.empty());
  if (answer == NonfiniteSteps::Answer::kStop) stop_at_nonfinite(what, damaged);
  if (answer == NonfiniteSteps::Answer::kGoBack) {
    go_back(what);
    return false;
  }
  log::warn(what + "; the step is skipped");
  return true;
}

/// The first tensor of any rank that is not finite, or "": running statistics may have taken in the
/// bad values, and weights may have been bad before.
std::string Trainer::damaged_tensor() {
  std::string damaged;
  for (const TensorGroup& group : recipe_.state()) {
    const std::string name = first_nonfinite(group.tensors);
    if (!name.empty() && damaged.empty()) damaged = group.name + "." + name;
  }
  return dist::first_of_ranks(damaged, folder_.world());
}

/// Saves the state before the step, unless it is damaged, and throws.
void Trainer::stop_at_nonfinite(const std::string& what, const std::string& damaged) {
  std::string state =
      damaged.empty() ? "" : damaged + " was damaged, so no checkpoint was written; ";
  try {
    const bool unsaved = damaged.empty() && saved_step_ < position_.step;
    if (unsaved) save();
    finish_saving();  // an earlier one may be under way
    if (unsaved)
      state = "the state before it is saved as " + checkpoint_name(position_.step) + "; ";
  } catch (const std::exception& error) {  // not the one that ends the run
    log::warn(std::string("the steps since the last checkpoint are lost: ") + error.what());
  }
  fail(what, "; ", state,
       "lower the learning rate, raise optimizer.warmup_steps, or set precision: fp32, and resume");
}

void Trainer::go_back(const std::string& what) {
  finish_saving();
  const auto warn = [this](const std::string& warning) {
    if (folder_.world().is_first()) log::warn(warning);
  };
  const auto checkpoint = folder_.checkpoints().newest_good(warn);
  if (!checkpoint) {
    fail(what, "; no whole checkpoint is left in ", folder_.checkpoints().folder().string(),
         " to go back to; start the run again");
  }
  log::warn(what + "; the run goes back to " + checkpoint->folder().filename().string());
  restore(*checkpoint);
  saved_step_ = position_.step;
  source_.seek(position_.micro_batches);
  open_log();
}

}  // namespace gear::train
