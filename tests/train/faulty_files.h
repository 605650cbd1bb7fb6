#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "gear/io/file_calls.h"

namespace gear::train::testing {

/// A disk that never has to be waited for: a test that saves a thousand times needs no durability.
struct UnsyncedFiles : io::FileCalls {
  int sync(int) override { return 0; }
  int sync_file_system(int) override { return 0; }
};

/// What happens at one call that changes files, or from it on.
enum class Fault {
  kFullDisk,    ///< this call fails with ENOSPC
  kDiskError,   ///< this call fails with EIO
  kShortWrite,  ///< a write takes half of the bytes; any other call works
  kFilledUp,    ///< a write takes half of the bytes, and there is no space for any after it
  kDiskGone,    ///< this call and all later ones fail with EIO
  kDeath,       ///< the process ends; in a write, after half of the bytes
};

inline constexpr Fault kAllFaults[] = {Fault::kFullDisk, Fault::kDiskError, Fault::kShortWrite,
                                       Fault::kFilledUp, Fault::kDiskGone,  Fault::kDeath};

inline const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::kFullDisk:
      return "FullDisk";
    case Fault::kDiskError:
      return "DiskError";
    case Fault::kShortWrite:
      return "ShortWrite";
    case Fault::kFilledUp:
      return "FilledUp";
    case Fault::kDiskGone:
      return "DiskGone";
    case Fault::kDeath:
      return "Death";
  }
  return "";
}

inline constexpr int kDied = 42;  ///< exit status of Fault::kDeath

/// Plays `fault` at the call number `at`, counted from 0.
class FaultyFiles : public UnsyncedFiles {
 public:
  FaultyFiles(Fault fault, int64_t at) : fault_(fault), at_(at) {}

  bool reached() const { return count_ > at_; }      ///< whether there was such a call
  const std::string& call() const { return call_; }  ///< the one that was hit: "sync"

  int open(const char* path, int flags, mode_t mode) override {
    return fails("open") ? -1 : FileCalls::open(path, flags, mode);
  }
  ssize_t write(int descriptor, const void* data, size_t bytes) override {
    return written("write", bytes,
                   [&](size_t count) { return FileCalls::write(descriptor, data, count); });
  }
  ssize_t write_at(int descriptor, const void* data, size_t bytes, off_t offset) override {
    return written("write_at", bytes, [&](size_t count) {
      return FileCalls::write_at(descriptor, data, count, offset);
    });
  }
  int resize(int descriptor, off_t bytes) override {
    return fails("resize") ? -1 : FileCalls::resize(descriptor, bytes);
  }
  int sync(int) override { return fails("sync") ? -1 : 0; }
  int close(int descriptor) override {
    const bool failing = fails("close");
    const int result = FileCalls::close(descriptor);  // a failed close() closes all the same
    if (failing) errno = error();
    return failing ? -1 : result;
  }
  int rename(const char* from, const char* to) override {
    return fails("rename") ? -1 : FileCalls::rename(from, to);
  }
  int exchange(const char* one, const char* other) override {
    return fails("exchange") ? -1 : FileCalls::exchange(one, other);
  }
  int make_folder(const char* path, mode_t mode) override {
    return fails("make_folder") ? -1 : FileCalls::make_folder(path, mode);
  }
  int remove_file(const char* path) override {
    return fails("remove_file") ? -1 : FileCalls::remove_file(path);
  }
  int remove_folder(const char* path) override {
    return fails("remove_folder") ? -1 : FileCalls::remove_folder(path);
  }

 private:
  int error() const {
    return fault_ == Fault::kFullDisk || fault_ == Fault::kFilledUp ? ENOSPC : EIO;
  }

  /// Counts a call other than a write; true, with errno set, when it fails.
  bool fails(const char* name) {
    const int64_t number = count_++;
    if (number == at_) call_ = name;
    if (number == at_ && fault_ == Fault::kDeath) ::_exit(kDied);
    const bool once = fault_ == Fault::kFullDisk || fault_ == Fault::kDiskError;
    if (!(once && number == at_) && !(fault_ == Fault::kDiskGone && number >= at_)) return false;
    errno = error();
    return true;
  }

  template <class Write>
  ssize_t written(const char* name, size_t bytes, Write&& write) {
    const int64_t number = count_;
    const bool halves = fault_ == Fault::kShortWrite || fault_ == Fault::kFilledUp;
    if (number == at_ && (halves || fault_ == Fault::kDeath) && bytes > 1) {
      call_ = name;
      ++count_;
      const ssize_t count = write(bytes / 2);
      if (fault_ == Fault::kDeath) ::_exit(kDied);
      return count;
    }
    if (fault_ == Fault::kFilledUp && number > at_) {
      ++count_;
      errno = error();
      return -1;
    }
    return fails(name) ? -1 : write(bytes);
  }

  Fault fault_;
  int64_t at_;
  int64_t count_ = 0;
  std::string call_;
};

}  // namespace gear::train::testing
