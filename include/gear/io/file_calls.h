#pragma once

#include <sys/types.h>

#include <cstddef>

namespace gear::io {

/// The calls of the system by which files are written, checked, moved and removed. Each returns
/// what the C library does and sets errno. A test derives from it to play a full disk, a failing
/// one, or a process that dies at any of these calls.
class FileCalls {
 public:
  virtual ~FileCalls() = default;

  virtual int open(const char* path, int flags, mode_t mode);
  virtual ssize_t read_at(int descriptor, void* data, size_t bytes, off_t offset);
  virtual ssize_t write(int descriptor, const void* data, size_t bytes);
  virtual ssize_t write_at(int descriptor, const void* data, size_t bytes, off_t offset);
  virtual int resize(int descriptor, off_t bytes);
  virtual int sync(int descriptor);              ///< one file or folder
  virtual int sync_file_system(int descriptor);  ///< everything on it
  virtual int close(int descriptor);
  virtual int rename(const char* from, const char* to);
  virtual int exchange(const char* one, const char* other);  ///< two folders, in one step
  virtual int make_folder(const char* path, mode_t mode);
  virtual int remove_file(const char* path);
  virtual int remove_folder(const char* path);  ///< an empty one
};

/// The calls in use: those of the system, unless a ReplacedFileCalls lives.
FileCalls& file_calls();

/// Puts other calls into the place of the system's, in all threads.
class ReplacedFileCalls {
 public:
  explicit ReplacedFileCalls(FileCalls& calls);
  ~ReplacedFileCalls();
  ReplacedFileCalls(const ReplacedFileCalls&) = delete;
  ReplacedFileCalls& operator=(const ReplacedFileCalls&) = delete;

 private:
  FileCalls* before_;
};

}  // namespace gear::io
