#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gear/core/error.h"

namespace gear::io {

/// An empty folder of the running test, removed with the object. No other object has the same one,
/// in this process or another.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int made = 0;
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = "gear-" + std::string(test->test_suite_name()) + "-" + test->name() + "-" +
                       std::to_string(::getpid()) + "-" + std::to_string(++made);
    std::replace(name.begin(), name.end(), '/', '-');  // of tests with parameters
    path_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// A path in a folder that all tests of this process share, removed at its end.
inline std::filesystem::path scratch_file(const std::string& name) {
  static const TemporaryFolder folder;
  return folder / name;
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// The message of the Error that `action` throws, or "" when it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace gear::io
