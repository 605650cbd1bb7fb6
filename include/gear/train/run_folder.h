#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gear/train/checkpoint.h"

namespace gear::train {

class NewPaths;
class RunLock;

/// What --resume asks for:
///   auto   go on from the newest whole checkpoint of the run folder; none there: start
///   none   start; refused where a run with checkpoints is
///   PATH   go on from this checkpoint, or the newest one of this run folder; refused where a run
///          is that the checkpoint is not of
struct Resume {
  enum class Mode { kAuto, kNone, kPath };
  Mode mode = Mode::kAuto;
  std::filesystem::path path{};

  static Resume parse(const std::string& text);
};

struct RunFolderOptions {
  std::filesystem::path path;  // run_dir
  std::string config_yaml;     // the resolved configuration, with help
  Resume resume;
  int64_t keep_checkpoints = 3;
  DataFingerprint data{};  // what the run is about to learn from
  SaveLayout layout{};     // the ranks that train together
};

/// The folder of a run: config.yaml, log.txt, metrics.jsonl, events/ (TensorBoard), samples/ and
/// checkpoints/. While the object lives no other run can train in the same folder. Every rank of a
/// run has such an object; the first one decides and writes, the others are told.
class RunFolder {
 public:
  /// Creates or reopens the folder, locks it and decides where the run starts. Throws Error when
  /// the folder cannot be written, is in use, holds a run that this one would overwrite, or is not
  /// the same on all ranks; then nothing in it has changed, and what was created is gone. From here
  /// on log lines of the first rank also go to log.txt. A collective.
  explicit RunFolder(RunFolderOptions options);
  /// Removes what the constructor created unless the start was good (save_config).
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  /// The verified checkpoint to go on from, or none for a fresh start.
  const std::optional<Checkpoint>& start() const { return start_; }
  /// Whether start() stands in this folder, not in that of another run.
  bool start_is_own() const;

  /// Writes config.yaml; the trainer calls it once the start has been loaded without error. A
  /// collective.
  void save_config() const;

  const CheckpointStore& checkpoints() const { return checkpoints_; }
  const dist::World& world() const { return options_.layout.world; }
  const DataFingerprint& data() const { return options_.data; }
  const std::string& config_yaml() const { return options_.config_yaml; }
  const std::filesystem::path& path() const { return options_.path; }
  std::filesystem::path metrics_path() const { return path() / "metrics.jsonl"; }
  std::filesystem::path samples() const { return path() / "samples"; }
  std::filesystem::path events() const { return path() / "events"; }  // for TensorBoard

 private:
  void create_folder(const std::filesystem::path& folder) const;
  void lock();
  void expect_shared() const;
  void choose_start();
  void open_log() const;
  void refuse_to_start_over() const;
  void refuse_to_overwrite() const;
  void refuse_to_mix() const;
  void refuse_to_rewind() const;
  void warn_of_changes();
  bool has_metrics() const;

  RunFolderOptions options_;
  CheckpointStore checkpoints_;
  std::unique_ptr<const RunLock> lock_;  // of the first rank
  std::unique_ptr<NewPaths> new_paths_;  // of a start that may be refused; gone before the lock
  std::optional<Checkpoint> start_;
  std::vector<std::string> warnings_;  // about the start, until log.txt is open
};

/// Keys on which two dumped configurations differ: "ar.depth: 12, now 6; seed: 0, now 1". `run_dir`
/// does not count.
std::string config_difference(const std::string& before, const std::string& now);

}  // namespace gear::train
