#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "gear/io/file_writer.h"

namespace gear::io {

/// A file that appears under its final name complete, or not at all: the bytes go to a file beside
/// it, and commit() syncs them and renames. Without a commit the destructor removes everything.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path final_path);  ///< creates missing parent folders
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  FileWriter& writer() { return writer_; }
  void commit();

 private:
  std::filesystem::path final_path_;
  std::filesystem::path partial_path_;
  FileWriter writer_;
  bool committed_ = false;
};

/// Makes `path` hold what `write` writes, or leaves it as it was (see AtomicFile).
void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(FileWriter&)>& write);
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// A folder that appears under its final name complete, or not at all.
///
/// One process constructs it (which makes an empty `path()`), any process writes files into
/// `path()`, and the first calls `commit()`. Without a commit the destructor removes everything.
class AtomicDirectory {
 public:
  explicit AtomicDirectory(std::filesystem::path final_path);
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  /// Where the files go until the commit. It follows from the final name, so that other ranks know
  /// it without being told.
  const std::filesystem::path& path() const { return temporary_path_; }
  static std::filesystem::path temporary_path(const std::filesystem::path& final_path);

  /// Syncs every file and folder inside, gives the folder its final name (replacing one that is
  /// there, in one step where the file system can), and syncs its parent.
  void commit();

 private:
  std::filesystem::path final_path_;
  std::filesystem::path temporary_path_;
  bool committed_ = false;
};

/// Removes a folder that commit() made. It first takes the temporary name, so that half of it is
/// never taken for the whole.
void remove_directory_atomically(const std::filesystem::path& path);

/// Removes what a killed process left unfinished in `folder` (names ".*.partial"). Call it only
/// while nobody writes there.
void remove_partial_files(const std::filesystem::path& folder);

}  // namespace gear::io
