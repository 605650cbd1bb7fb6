#include "gear/io/atomic.h"

#include <fcntl.h>
#include <stdio.h>  // renameat2
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "gear/core/error.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPartialSuffix = ".partial";

[[noreturn]] void fail_with_errno(const std::string& path, const char* action, int error) {
  const char* advice = "";
  if (error == ENOSPC || error == EDQUOT) {
    advice = "; free space there or choose another output folder";
  } else if (error == EFBIG) {
    advice = "; raise the limit on file size (ulimit -f) or choose another output folder";
  } else if (error == EACCES || error == EPERM || error == EROFS) {
    advice = "; choose an output folder that you may write to";
  }
  fail(path, ": cannot ", action, ": ", std::strerror(error), advice);
}

/// fsync of a file or folder by path.
void sync_path(const fs::path& path, int (*sync)(int) = &::fsync) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_with_errno(path.string(), "open", errno);
  const int error = sync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some network file systems know no fsync of folders and say so with EINVAL.
  if (error != 0 && error != EINVAL) fail_with_errno(path.string(), "sync", error);
}

fs::path parent_folder(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// ".<name>.partial", hidden from a plain listing.
std::string partial_name(const std::string& name) {
  return std::string(".").append(name).append(kPartialSuffix);
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_with_errno(folder.string(), "create the folder", error.value());
}

/// A name beside `path` that no other writer uses; makes the folders that lead there.
fs::path new_partial_path(const fs::path& path) {
  static std::atomic<uint64_t> counter{0};
  make_folders(parent_folder(path));
  const std::string unique = std::to_string(::getpid()) + "-" + std::to_string(counter++);
  return parent_folder(path) / partial_name(path.filename().string() + "." + unique);
}

/// Syncs every file and folder of a tree.
void sync_tree(const fs::path& root) {
  constexpr size_t kMostSyncedAlone = 256;  // each sync costs milliseconds
  std::error_code error;
  std::vector<fs::path> entries;
  for (const auto& entry : fs::recursive_directory_iterator(root, error)) {
    if (entry.is_regular_file() || entry.is_directory()) entries.push_back(entry.path());
  }
  if (error) fail_with_errno(root.string(), "list", error.value());
  if (entries.size() > kMostSyncedAlone) {
    sync_path(root, &::syncfs);
  } else {
    for (const fs::path& path : entries) sync_path(path);
  }
  sync_path(root);
}

void remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) fail_with_errno(folder.string(), "remove", error.value());
}

/// Gives `folder` the name `final_path`, which another folder has; returns where that one is now.
fs::path put_in_place_of(const fs::path& folder, const fs::path& final_path) {
  // The two change places in one step where the file system can do that.
  if (::renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, final_path.c_str(), RENAME_EXCHANGE) == 0) {
    return folder;
  }
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
    fail_with_errno(final_path.string(), "replace the folder of this name", errno);
  }
  // Some network and FUSE file systems cannot: a process killed between the two steps below leaves
  // neither under the final name.
  const fs::path old = new_partial_path(final_path);
  if (::rename(final_path.c_str(), old.c_str()) != 0) {
    fail_with_errno(final_path.string(), "rename from this name", errno);
  }
  if (::rename(folder.c_str(), final_path.c_str()) != 0) {
    const int error = errno;
    ::rename(old.c_str(), final_path.c_str());
    fail_with_errno(final_path.string(), "rename to this name", error);
  }
  return old;
}

/// "folder/name/" names the same folder as "folder/name".
fs::path without_trailing_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

FileWriter::FileWriter(const fs::path& path) : path_(path.string()) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_with_errno(path_, "create", errno);
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileWriter::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_with_errno(path_, "write", errno);
    }
    next += written;
    bytes -= static_cast<size_t>(written);
    position_ += static_cast<uint64_t>(written);
  }
}

void FileWriter::overwrite(uint64_t position, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (written < 0 && errno != EINTR) fail_with_errno(path_, "write", errno);
    if (written < 0) continue;
    position += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void FileWriter::sync() {
  if (::fsync(descriptor_) != 0) fail_with_errno(path_, "sync", errno);
}

void FileWriter::close() {
  const int result = ::close(descriptor_);
  descriptor_ = -1;
  if (result != 0) fail_with_errno(path_, "close", errno);
}

AtomicFile::AtomicFile(fs::path final_path)
    : final_path_(std::move(final_path)),
      partial_path_(new_partial_path(final_path_)),
      writer_(partial_path_) {}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(partial_path_.c_str());
}

void AtomicFile::commit() {
  writer_.sync();
  writer_.close();
  if (::rename(partial_path_.c_str(), final_path_.c_str()) != 0) {
    fail_with_errno(final_path_.string(), "rename to this name", errno);
  }
  committed_ = true;
  sync_path(parent_folder(final_path_));
}

void write_file_atomically(const fs::path& path, const std::function<void(FileWriter&)>& write) {
  AtomicFile file(path);
  write(file.writer());
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  write_file_atomically(path, [&](FileWriter& file) { file.write(bytes); });
}

AtomicDirectory::AtomicDirectory(fs::path final_path)
    : final_path_(without_trailing_slash(final_path)),
      temporary_path_(temporary_path(final_path_)) {
  remove_folder(temporary_path_);
  make_folders(temporary_path_);
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;  // a destructor must not throw; the next attempt removes the rest
  if (!committed_) fs::remove_all(temporary_path_, ignored);
}

fs::path AtomicDirectory::temporary_path(const fs::path& final_path) {
  const fs::path path = without_trailing_slash(final_path);
  return parent_folder(path) / partial_name(path.filename().string());
}

void AtomicDirectory::commit() {
  sync_tree(temporary_path_);
  if (::rename(temporary_path_.c_str(), final_path_.c_str()) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) {
      fail_with_errno(final_path_.string(), "rename to this name", errno);
    }
    remove_folder(put_in_place_of(temporary_path_, final_path_));
  }
  committed_ = true;
  sync_path(parent_folder(final_path_));
}

void remove_partial_files(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> partial;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(kPartialSuffix)) partial.push_back(entry.path());
  }
  if (error && error.value() != ENOENT) fail_with_errno(folder.string(), "list", error.value());
  for (const auto& path : partial) {
    fs::remove_all(path, error);
    if (error) fail_with_errno(path.string(), "remove", error.value());
  }
}

}  // namespace gear::io
