#include "gear/train/checkpoint_writer.h"

#include <sys/resource.h>

#include <utility>

#include "gear/core/log.h"
#include "train/save_plan.h"
#include "train/snapshot.h"

namespace gear::train {
namespace {

/// The steps go first where threads compete for the cores.
void lower_priority_of_this_thread() {
  constexpr int kNice = 10;
  ::setpriority(PRIO_PROCESS, 0, kNice);  // on Linux of the calling thread alone; it may fail
}

}  // namespace

CheckpointWriter::CheckpointWriter(const CheckpointStore& store, Mode mode)
    : store_(store), mode_(mode), snapshot_(std::make_unique<Snapshot>()) {}

CheckpointWriter::~CheckpointWriter() {
  if (!thread_.joinable()) return;
  store_.give_up_waiting(true);
  thread_.join();
  store_.give_up_waiting(false);
  if (!error_) return;
  try {
    std::rethrow_exception(error_);
  } catch (const std::exception& error) {  // the run ends with another one
    log::warn(std::string("a checkpoint was not finished: ") + error.what());
  }
}

void CheckpointWriter::save(const RunPosition& position, const std::string& config_yaml,
                            const std::vector<TensorGroup>& groups,
                            std::function<void()> before_visible) {
  wait();
  SaveJob job{position, config_yaml, store_.plan(groups), std::move(before_visible)};
  if (mode_ == Mode::kAtOnce) {
    finished_ = store_.write(job);
    return;
  }
  job.plan = snapshot_->take(job.plan);
  ended_ = false;
  thread_ = std::thread([this, job = std::move(job)] {
    lower_priority_of_this_thread();
    try {
      finished_ = store_.write(job);
    } catch (...) {
      error_ = std::current_exception();
    }
    ended_ = true;
  });
}

std::optional<std::filesystem::path> CheckpointWriter::take_finished() {
  if (!ended_) return std::nullopt;
  return std::exchange(finished_, std::nullopt);
}

void CheckpointWriter::wait() {
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace gear::train
