#include "gear/io/atomic.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <vector>

#include "gear/core/error.h"
#include "gear/io/file_calls.h"
#include "io/paths.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPartialSuffix = ".partial";

/// ".<name>.partial", hidden from a plain listing.
std::string partial_name(const std::string& name) {
  return std::string(".").append(name).append(kPartialSuffix);
}

/// A name beside `path` that no other writer uses; makes the folders that lead there.
fs::path new_partial_path(const fs::path& path) {
  static std::atomic<uint64_t> counter{0};
  make_folders(parent_folder(path));
  const std::string unique = std::to_string(::getpid()) + "-" + std::to_string(counter++);
  return parent_folder(path) / partial_name(path.filename().string() + "." + unique);
}

/// Gives `folder` the name `final_path`, which another folder has; returns where that one is now.
fs::path put_in_place_of(const fs::path& folder, const fs::path& final_path) {
  // The two change places in one step where the file system can do that.
  if (file_calls().exchange(folder.c_str(), final_path.c_str()) == 0) return folder;
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
    fail_with_errno(final_path.string(), "replace the folder of this name", errno);
  }
  // Some network and FUSE file systems cannot: a process killed between the two steps below leaves
  // neither under the final name.
  const fs::path old = new_partial_path(final_path);
  if (file_calls().rename(final_path.c_str(), old.c_str()) != 0) {
    fail_with_errno(final_path.string(), "rename from this name", errno);
  }
  if (file_calls().rename(folder.c_str(), final_path.c_str()) != 0) {
    const int error = errno;
    file_calls().rename(old.c_str(), final_path.c_str());
    fail_with_errno(final_path.string(), "rename to this name", error);
  }
  return old;
}

/// "folder/name/" names the same folder as "folder/name".
fs::path without_trailing_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

AtomicFile::AtomicFile(fs::path final_path)
    : final_path_(std::move(final_path)),
      partial_path_(new_partial_path(final_path_)),
      writer_(partial_path_) {}

AtomicFile::~AtomicFile() {
  if (!committed_) file_calls().remove_file(partial_path_.c_str());
}

void AtomicFile::commit() {
  writer_.sync();
  writer_.close();
  if (file_calls().rename(partial_path_.c_str(), final_path_.c_str()) != 0) {
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
  remove_tree(temporary_path_);
  make_folders(temporary_path_);
}

AtomicDirectory::~AtomicDirectory() {
  if (committed_) return;
  try {
    remove_tree(temporary_path_);
  } catch (const Error&) {  // a destructor must not throw; the next attempt removes the rest
  }
}

fs::path AtomicDirectory::temporary_path(const fs::path& final_path) {
  const fs::path path = without_trailing_slash(final_path);
  return parent_folder(path) / partial_name(path.filename().string());
}

void AtomicDirectory::commit() {
  sync_tree(temporary_path_);
  if (file_calls().rename(temporary_path_.c_str(), final_path_.c_str()) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) {
      fail_with_errno(final_path_.string(), "rename to this name", errno);
    }
    remove_tree(put_in_place_of(temporary_path_, final_path_));
  }
  committed_ = true;
  sync_path(parent_folder(final_path_));
}

void remove_directory_atomically(const fs::path& path) {
  const fs::path doomed = AtomicDirectory::temporary_path(path);
  remove_tree(doomed);  // an attempt that was cut off
  if (file_calls().rename(path.c_str(), doomed.c_str()) != 0) {
    fail_with_errno(path.string(), "remove", errno);
  }
  remove_tree(doomed);
}

void remove_partial_files(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> partial;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(kPartialSuffix)) partial.push_back(entry.path());
  }
  if (error && error.value() != ENOENT) fail_with_errno(folder.string(), "list", error.value());
  for (const auto& path : partial) remove_tree(path);
}

}  // namespace gear::io
