#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

namespace gear::fuzz {

/// A folder for the files of one target, in memory where the machine has such a place.
class InputFolder {
 public:
  InputFolder() {
    const std::filesystem::path shared_memory = "/dev/shm";
    const bool in_memory = ::access(shared_memory.c_str(), W_OK) == 0;
    path_ = (in_memory ? shared_memory : std::filesystem::temp_directory_path()) /
            ("gear-fuzz-" + std::to_string(::getpid()));
    std::filesystem::create_directories(path_);
  }
  ~InputFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  InputFolder(const InputFolder&) = delete;
  InputFolder& operator=(const InputFolder&) = delete;

  /// The path of the file `name`, which then holds `bytes`. Nothing may have it mapped.
  std::filesystem::path file(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary | std::ios::trunc) << bytes;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// The one of this process.
inline const InputFolder& input_folder() {
  static const InputFolder folder;
  return folder;
}

}  // namespace gear::fuzz
