#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "gear/train/checkpoint.h"

namespace gear::train {

/// What --resume asks for:
///   auto   go on from the newest whole checkpoint of the run folder; none there: start
///   none   start; refused where a run with checkpoints is
///   PATH   go on from this checkpoint, or the newest one of this run folder
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
};

/// The folder of a run: config.yaml, log.txt, metrics.jsonl, events/ (TensorBoard), samples/ and
/// checkpoints/. While the object lives no other process can train in the same folder.
class RunFolder {
 public:
  /// Creates or reopens the folder, locks it and decides where the run starts. Throws Error when
  /// the folder cannot be written, is in use, or holds a run that this one would overwrite; then
  /// nothing in it has changed. From here on log lines also go to log.txt.
  explicit RunFolder(RunFolderOptions options);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  /// The verified checkpoint to go on from, or none for a fresh start.
  const std::optional<Checkpoint>& start() const { return start_; }

  /// Writes config.yaml; the trainer calls it once the start has been loaded without error.
  void save_config() const;

  const CheckpointStore& checkpoints() const { return checkpoints_; }
  const std::string& config_yaml() const { return options_.config_yaml; }
  const std::filesystem::path& path() const { return options_.path; }
  std::filesystem::path metrics_path() const { return path() / "metrics.jsonl"; }
  std::filesystem::path samples() const { return path() / "samples"; }
  std::filesystem::path events() const { return path() / "events"; }  // for TensorBoard

 private:
  void create();
  void lock();
  void choose_start();
  void refuse_to_overwrite() const;
  void refuse_to_rewind() const;

  RunFolderOptions options_;
  CheckpointStore checkpoints_;
  std::optional<Checkpoint> start_;
  int lock_descriptor_ = -1;
};

/// Keys on which two dumped configurations differ: "ar.depth: 12, now 6; seed: 0, now 1". `run_dir`
/// does not count.
std::string config_difference(const std::string& before, const std::string& now);

}  // namespace gear::train
