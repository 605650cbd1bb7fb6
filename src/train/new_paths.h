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

  /// Before a file is created in a folder that is there.
  void add_file(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) paths_.push_back(path);
  }

  /// Creates a folder and those above it that are not there. They are created one by one, so that
  /// what is noted was created here, whatever ".." and links the path leads through.
  void create_folders(const std::filesystem::path& path, std::error_code& error) {
    std::filesystem::path at;
    error.clear();
    for (const auto& part : path) {
      at /= part;
      if (std::filesystem::is_directory(at, error)) continue;
      if (std::filesystem::create_directory(at, error)) paths_.push_back(at);
      if (error == std::errc::file_exists) error = std::make_error_code(std::errc::not_a_directory);
      if (error) return;
    }
  }
  void keep() { paths_.clear(); }

 private:
  std::vector<std::filesystem::path> paths_;
};

}  // namespace gear::train
