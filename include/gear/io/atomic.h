#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace gear::io {

/// Unbuffered writes to one open file. Every failure is an Error with the path and the reason.
class FileWriter {
 public:
  /// Creates or empties `path`.
  explicit FileWriter(const std::filesystem::path& path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  uint64_t position() const { return position_; }  ///< bytes written so far
  /// Replaces bytes that were written at `position` before; later writes go on at the end.
  void overwrite(uint64_t position, std::string_view bytes);

  void sync();   ///< until the bytes are on the disk
  void close();  ///< reports what the file system delayed; the destructor cannot

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t position_ = 0;
};

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

/// Removes what a killed process left unfinished in `folder` (names ".*.partial"). Call it only
/// while nobody writes there.
void remove_partial_files(const std::filesystem::path& folder);

}  // namespace gear::io
