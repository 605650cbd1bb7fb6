#include "gear/train/checkpoint_writer.h"

#include <sys/resource.h>

#include <chrono>
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
  await_thread();
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
  update_plan(groups);
  start({position, config_yaml, mode_ == Mode::kBeside ? snapshot_->take(plan_) : plan_,
         std::move(before_visible)});
  if (mode_ == Mode::kAtOnce) wait();
}

void CheckpointWriter::prepare(const std::vector<TensorGroup>& groups) {
  if (mode_ == Mode::kAtOnce) return;
  wait();
  update_plan(groups);
  snapshot_->take(plan_);
}

void CheckpointWriter::update_plan(const std::vector<TensorGroup>& groups) {
  if (plan_ && same_tensors(groups, planned_)) return;
  plan_ = store_.plan(groups);
  planned_ = groups;
}

void CheckpointWriter::start(SaveJob job) {
  std::promise<void> end;
  ended_ = end.get_future();
  thread_ = std::thread([this, job = std::move(job), end = std::move(end)]() mutable {
    if (mode_ == Mode::kBeside) lower_priority_of_this_thread();
    try {
      finished_ = store_.write(job);
    } catch (...) {
      error_ = std::current_exception();
    }
    end.set_value();
  });
}

bool CheckpointWriter::is_saving() const {
  return ended_.valid() && ended_.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
}

/// The other ranks, and the watch over this one, learn what its thread does: whether it gets on,
/// and whether it waits for others itself. A rank that is stopped amid a save is named for that.
void CheckpointWriter::await_thread() {
  constexpr auto kLook = std::chrono::milliseconds(500);
  const dist::World& world = store_.world();
  std::shared_ptr<void> waiting;  // for others, as long as it is there
  int64_t progress = -1;
  while (ended_.wait_for(kLook) != std::future_status::ready) {
    if (store_.write_waits_for_others() != (waiting != nullptr)) {
      waiting = waiting ? nullptr : world.waiting_for_others();
    }
    if (progress != store_.progress_of_write()) {
      progress = store_.progress_of_write();
      world.doing("waiting for a checkpoint");
    }
  }
  thread_.join();
}

std::optional<std::filesystem::path> CheckpointWriter::take_finished() {
  if (is_saving()) return std::nullopt;
  return std::exchange(finished_, std::nullopt);
}

void CheckpointWriter::wait() {
  if (thread_.joinable()) await_thread();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace gear::train
