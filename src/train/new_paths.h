#pragma once

#include <filesystem>
#include <system_error>
#include <vector>

namespace gear::train {

/// Files and folders that a start of a run creates: unless they are kept, it leaves nothing behind.
class NewPaths {
 public:
  NewPaths() = default;
  /// Removes files and empty folders, the newest first.
  ~NewPaths() {
    std::error_code ignored;
    for (auto path = paths_.rbegin(); path != paths_.rend(); ++path) {
      std::filesystem::remove(*path, ignored);
    }
  }
  NewPaths(const NewPaths&) = delete;
  NewPaths& operator=(const NewPaths&) = delete;

  /// Before a file or folder is created: notes it and the folders above it that are not there.
  void add(const std::filesystem::path& path) {
    std::error_code ignored;
    std::vector<std::filesystem::path> missing;
    for (auto at = path; !at.empty() && !std::filesystem::exists(at, ignored);
         at = at.parent_path()) {
      missing.push_back(at);
    }
    paths_.insert(paths_.end(), missing.rbegin(), missing.rend());
  }
  void keep() { paths_.clear(); }

 private:
  std::vector<std::filesystem::path> paths_;
};

}  // namespace gear::train
