#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "gear/core/error.h"
#include "gear/train/state.h"

/// A checkpoint is a folder step-00001000/ with one safetensors file per TensorGroup, config.yaml
/// (the resolved configuration), manifest.json (step, data position, seed; size, SHA-256 and tensor
/// table of every file) and manifest.sha256 (of manifest.json, as sha256sum writes it). It is
/// written beside its name, synced and renamed, so it is whole or absent.
namespace gear::train {

/// Where a run stands, besides its tensors.
struct RunPosition {
  int64_t step = 0;           ///< optimizer updates done
  int64_t micro_batches = 0;  ///< taken from the data so far
  int64_t samples = 0;        ///< images in them
  int64_t seed = 0;           ///< of the run's random streams
};

/// The bytes of a checkpoint are not those that were written: a file is missing, cut or changed.
class DamagedCheckpoint : public Error {
 public:
  using Error::Error;
};

/// A checkpoint folder on disk, opened for reading.
class Checkpoint {
 public:
  /// Reads the manifest. Throws Error when `folder` is no checkpoint or of a newer format, and
  /// DamagedCheckpoint when the manifest was changed.
  explicit Checkpoint(std::filesystem::path folder);

  /// Reads every file and compares size and SHA-256. Throws DamagedCheckpoint naming the file.
  void verify() const;

  /// Copies the stored values into the tensors of `groups`. Everything is compared first: a group
  /// or tensor that is missing, unknown or of another shape or type is an Error, and then no tensor
  /// has changed.
  void load(const std::vector<TensorGroup>& groups) const;

  bool contains(const std::string& group) const;
  std::vector<std::string> groups() const;
  /// The safetensors file of a group. Throws Error naming what there is when it is not there.
  std::filesystem::path group_path(const std::string& group) const;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path config_path() const { return folder_ / "config.yaml"; }
  const RunPosition& position() const { return position_; }

 private:
  void read_manifest(const nlohmann::json& manifest);

  struct FileEntry {
    std::string name, sha256, group;  // group is empty for config.yaml
    uint64_t bytes = 0;
  };
  std::filesystem::path folder_;
  RunPosition position_;
  std::vector<FileEntry> files_;
};

/// The folder checkpoints/ of a run: writes new checkpoints and keeps the newest `keep`.
class CheckpointStore {
 public:
  CheckpointStore(std::filesystem::path folder, int64_t keep);

  /// Writes a checkpoint, then removes the oldest beyond `keep`. On an error (a full disk, say) the
  /// earlier ones are untouched and nothing half-written remains.
  std::filesystem::path save(const RunPosition& position, const std::string& config_yaml,
                             const std::vector<TensorGroup>& groups) const;

  /// The newest checkpoint whose checksums hold; a damaged one is named in a warning and the one
  /// before is tried. None when there is no checkpoint; Error when all are damaged.
  std::optional<Checkpoint> newest_good() const;

  /// Checkpoint folders, oldest first.
  std::vector<std::filesystem::path> list() const;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  void remove_old() const;

  std::filesystem::path folder_;
  int64_t keep_;
};

/// "step-00001000"
std::string checkpoint_name(int64_t step);

/// The verified checkpoint that `path` means: a checkpoint folder itself, or the newest good one of
/// a run folder. None when it is neither.
std::optional<Checkpoint> find_checkpoint(const std::filesystem::path& path);

}  // namespace gear::train
