#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gear/train/checkpoint.h"

namespace gear::train {

class Snapshot;

/// Saves checkpoints beside the steps: save() copies what this rank writes into memory of the host
/// and returns, a thread writes the copy. At most one save is under way. With several ranks each
/// has such an object and calls save() and wait() alike; the threads agree without collectives.
class CheckpointWriter {
 public:
  enum class Mode {
    kBeside,  ///< while the steps go on
    kAtOnce,  ///< save() returns when the checkpoint is visible; needs no memory for a copy
  };

  CheckpointWriter(const CheckpointStore& store, Mode mode);
  /// Waits for this rank's part of a save that is under way, but no longer for other ranks.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Takes the memory that a save of these tensors needs, which the first save would do otherwise.
  void prepare(const std::vector<TensorGroup>& groups);

  /// Begins a save, after the one before has ended; throws the error of that one.
  ///   before_visible  called on the first rank, by the thread, just before the rename: what must
  ///                   be on the disk when the checkpoint is
  void save(const RunPosition& position, const std::string& config_yaml,
            const std::vector<TensorGroup>& groups, std::function<void()> before_visible = {});

  /// The checkpoint that has become visible since the last call, if one has.
  std::optional<std::filesystem::path> take_finished();

  /// Whether the save has ended with an error, which wait() will throw. It asks nobody: when it is
  /// true on one rank, it is or will be on all, so who asks after every step must agree with the
  /// others before all of them call wait().
  bool failed() const { return !is_saving() && error_ != nullptr; }

  /// Returns when no save is under way. Throws its error, the same on all ranks.
  void wait();

 private:
  void update_plan(const std::vector<TensorGroup>& groups);
  void start(SaveJob job);
  bool is_saving() const;
  void await_thread();

  CheckpointStore store_;
  Mode mode_;
  std::unique_ptr<Snapshot> snapshot_;
  std::shared_ptr<const std::vector<PlannedFile>> plan_;
  std::vector<TensorGroup> planned_;  // what the plan is for
  std::thread thread_;
  std::future<void> ended_;  // is ready when the thread has left what follows
  std::exception_ptr error_;
  std::optional<std::filesystem::path> finished_;
};

}  // namespace gear::train
