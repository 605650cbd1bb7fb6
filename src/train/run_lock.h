#pragma once

#include <filesystem>
#include <string>

namespace gear::train {

/// Keeps other runs out of a run folder while it lives.
class RunLock {
 public:
  static constexpr const char* kName = ".lock";

  /// Throws Error when another process holds the lock of the folder, or it cannot be written.
  explicit RunLock(const std::filesystem::path& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  /// Writes into the lock file what no other file of this name holds, and returns it.
  std::string mark() const;

 private:
  [[noreturn]] void fail_to_write() const;

  std::filesystem::path folder_;
  int descriptor_ = -1;
};

}  // namespace gear::train
