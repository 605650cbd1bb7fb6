#include "io/paths.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "gear/core/error.h"
#include "gear/io/file_calls.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;

enum class Reach { kPathAlone, kFileSystem };

void sync_descriptor_of(const fs::path& path, Reach reach) {
  FileCalls& calls = file_calls();
  const int descriptor = calls.open(path.c_str(), O_RDONLY | O_CLOEXEC, 0);
  if (descriptor < 0) fail_with_errno(path.string(), "open", errno);
  const int result =
      reach == Reach::kPathAlone ? calls.sync(descriptor) : calls.sync_file_system(descriptor);
  const int error = result == 0 ? 0 : errno;
  calls.close(descriptor);
  // Some network file systems know no fsync of folders and say so with EINVAL.
  if (error != 0 && error != EINVAL) fail_with_errno(path.string(), "sync", error);
}

}  // namespace

void fail_with_errno(const std::string& path, const char* action, int error) {
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

fs::path parent_folder(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void make_folders(const fs::path& folder) {
  const auto made = [&] { return file_calls().make_folder(folder.c_str(), 0777) == 0; };
  if (made()) return;
  if (errno == ENOENT && folder.has_parent_path()) {
    make_folders(folder.parent_path());
    if (made()) return;
  }
  const int error = errno;
  std::error_code ignored;
  if (error == EEXIST && fs::is_directory(folder, ignored)) return;
  fail_with_errno(folder.string(), "create the folder", error == EEXIST ? ENOTDIR : error);
}

void sync_path(const fs::path& path) { sync_descriptor_of(path, Reach::kPathAlone); }

void sync_tree(const fs::path& root) {
  constexpr size_t kMostSyncedAlone = 256;  // each sync costs milliseconds
  std::error_code error;
  std::vector<fs::path> entries;
  for (const auto& entry : fs::recursive_directory_iterator(root, error)) {
    if (entry.is_regular_file() || entry.is_directory()) entries.push_back(entry.path());
  }
  if (error) fail_with_errno(root.string(), "list", error.value());
  if (entries.size() > kMostSyncedAlone) {
    sync_descriptor_of(root, Reach::kFileSystem);
  } else {
    for (const fs::path& path : entries) sync_path(path);
  }
  sync_path(root);
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return;
  int result = 0;
  if (fs::is_directory(status)) {
    std::vector<fs::path> entries;
    for (const auto& entry : fs::directory_iterator(path, error)) entries.push_back(entry.path());
    if (error) fail_with_errno(path.string(), "list", error.value());
    for (const fs::path& entry : entries) remove_tree(entry);
    result = file_calls().remove_folder(path.c_str());
  } else {
    result = file_calls().remove_file(path.c_str());
  }
  if (result != 0 && errno != ENOENT) fail_with_errno(path.string(), "remove", errno);
}

}  // namespace gear::io
