#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/train/save_layout.h"
#include "gear/train/state.h"

/// A checkpoint is a folder step-00001000/ with one safetensors file per TensorGroup, config.yaml
/// (the resolved configuration), manifest.json (step, data position, seed, data set; size, SHA-256
/// and tensor table of every file) and manifest.sha256 (of manifest.json, as sha256sum writes it).
/// It is written beside its name, synced and renamed, so it is whole or absent. The random streams
/// of a run follow from its seed and step, so these two are all that is stored of them.
///
/// The files hold whole tensors however many ranks have written them: the place of every tensor
/// follows from the names, types and shapes, which all ranks know, so each rank writes and hashes
/// its own bytes of the same files. The manifest lists these parts (rank, offset, bytes, SHA-256);
/// any number of ranks can read them. Format 1 had one SHA-256 a file instead.
namespace gear::train {

class JointSteps;
struct PlannedFile;
struct SaveJob;

/// Which pictures a run learns from, to tell whether a later start has the same ones.
struct DataFingerprint {
  int64_t images = 0;          ///< 0: not known
  std::string names_sha256{};  ///< of their paths below the data folder, in the order of the set
  bool operator==(const DataFingerprint&) const = default;
};

/// Where a run stands, besides its tensors.
struct RunPosition {
  int64_t step = 0;           ///< optimizer updates done
  int64_t micro_batches = 0;  ///< taken from the data so far
  int64_t samples = 0;        ///< images in them
  int64_t seed = 0;           ///< of the run's random streams
  DataFingerprint data{};
};

/// The bytes of a checkpoint are not those that were written: a file is missing, cut, changed or
/// not readable.
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

  /// Reads every file and compares size and SHA-256. Throws DamagedCheckpoint naming the file. With
  /// several `shares` only bytes of the given one are read; the sizes are compared all the same.
  void verify(int64_t share = 0, int64_t shares = 1) const;

  /// Copies the stored values into the tensors of `groups`; of one that is a piece, only its own
  /// elements are read. Everything is compared first: a group or tensor that is missing, unknown or
  /// of another shape or type is an Error, and then no tensor has changed.
  void load(const std::vector<TensorGroup>& groups) const;

  bool contains(const std::string& group) const;
  std::vector<std::string> groups() const;
  /// The safetensors file of a group. Throws Error naming what there is when it is not there.
  std::filesystem::path group_path(const std::string& group) const;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path config_path() const { return folder_ / "config.yaml"; }
  const RunPosition& position() const { return position_; }
  /// Of the manifest, and thereby of everything it lists.
  const std::string& sha256() const { return sha256_; }

 private:
  void read_manifest(const nlohmann::json& manifest);
  void read_file(const std::string& name, const nlohmann::json& entry);

  struct Part {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    std::string sha256;
  };
  struct FileEntry {
    std::string name, group;  // group is empty for config.yaml
    uint64_t bytes = 0;
    std::vector<Part> parts;  // all of the file, by rising offset
  };
  void verify_size(const FileEntry& file) const;
  void verify_part(const FileEntry& file, const Part& part) const;

  std::filesystem::path folder_;
  std::string sha256_;
  RunPosition position_;
  std::vector<FileEntry> files_;
};

/// Takes a sentence for the user; log::warn, unless the log is not open yet.
using Warn = std::function<void(const std::string&)>;

/// The folder checkpoints/ of a run: writes new checkpoints and keeps the newest `keep`. With
/// several ranks every one of them has such an object and calls it alike; they see the same folder.
class CheckpointStore {
 public:
  CheckpointStore(std::filesystem::path folder, int64_t keep, SaveLayout layout = {});

  /// Writes a checkpoint, then removes the oldest whole ones beyond `keep`. Damaged ones do not
  /// count, nor do those of later steps, which a resumed run has passed over as damaged. On an
  /// error of any rank (a full disk, say) all throw it, the earlier ones are untouched and nothing
  /// half-written remains. It uses no collective, so it may run beside the steps; one at a time.
  std::filesystem::path save(const RunPosition& position, const std::string& config_yaml,
                             const std::vector<TensorGroup>& groups) const;

  /// The newest checkpoint whose checksums hold; a damaged one is named in a warning and the one
  /// before is tried. None when there is no checkpoint; Error when all are damaged, and when not
  /// all ranks see the same. A collective; not while a save runs.
  std::optional<Checkpoint> newest_good(const Warn& warn = log::warn) const;

  /// Checkpoint folders, oldest first. Throws Error when the folder is there but cannot be listed.
  std::vector<std::filesystem::path> list() const;

  const std::filesystem::path& folder() const { return folder_; }
  const dist::World& world() const { return layout_.world; }

 private:
  friend class CheckpointWriter;
  std::shared_ptr<const std::vector<PlannedFile>> plan(
      const std::vector<TensorGroup>& groups) const;
  std::filesystem::path write(const SaveJob& job) const;
  void give_up_waiting(bool give_up) const;
  int64_t progress_of_write() const;  // see JointSteps
  bool write_waits_for_others() const;
  std::vector<std::filesystem::path> list_of_first_rank() const;
  void remove_old(int64_t saved_step) const;
  void remove(const std::filesystem::path& checkpoint) const;
  bool is_whole(const std::filesystem::path& checkpoint) const;

  std::filesystem::path folder_;
  int64_t keep_;
  SaveLayout layout_;
  std::shared_ptr<JointSteps> steps_;
  /// Written or verified by this object. Verifying reads every byte, so it is done once.
  mutable std::set<std::filesystem::path> whole_;
};

/// "step-00001000"
std::string checkpoint_name(int64_t step);

/// 1000 for a folder step-00001000, as list() returns them.
int64_t checkpoint_step(const std::filesystem::path& folder);

/// The verified checkpoint that `path` means: a checkpoint folder itself, or the newest good one of
/// a run folder. None when it is neither. A collective.
std::optional<Checkpoint> find_checkpoint(const std::filesystem::path& path,
                                          const Warn& warn = log::warn,
                                          const dist::World& world = {});

}  // namespace gear::train
