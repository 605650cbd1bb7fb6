#include "gear/io/file_calls.h"

#include <fcntl.h>
#include <stdio.h>  // renameat2
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

namespace gear::io {
namespace {

FileCalls& system_calls() {
  static FileCalls calls;
  return calls;
}

std::atomic<FileCalls*>& replacement() {
  static std::atomic<FileCalls*> calls{nullptr};
  return calls;
}

}  // namespace

int FileCalls::open(const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }

ssize_t FileCalls::read_at(int descriptor, void* data, size_t bytes, off_t offset) {
  return ::pread(descriptor, data, bytes, offset);
}

ssize_t FileCalls::write(int descriptor, const void* data, size_t bytes) {
  return ::write(descriptor, data, bytes);
}

ssize_t FileCalls::write_at(int descriptor, const void* data, size_t bytes, off_t offset) {
  return ::pwrite(descriptor, data, bytes, offset);
}

int FileCalls::resize(int descriptor, off_t bytes) { return ::ftruncate(descriptor, bytes); }
int FileCalls::sync(int descriptor) { return ::fsync(descriptor); }
int FileCalls::sync_file_system(int descriptor) { return ::syncfs(descriptor); }
int FileCalls::close(int descriptor) { return ::close(descriptor); }
int FileCalls::rename(const char* from, const char* to) { return ::rename(from, to); }

int FileCalls::exchange(const char* one, const char* other) {
  return ::renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

int FileCalls::make_folder(const char* path, mode_t mode) { return ::mkdir(path, mode); }
int FileCalls::remove_file(const char* path) { return ::unlink(path); }
int FileCalls::remove_folder(const char* path) { return ::rmdir(path); }

FileCalls& file_calls() {
  FileCalls* calls = replacement();
  return calls == nullptr ? system_calls() : *calls;
}

ReplacedFileCalls::ReplacedFileCalls(FileCalls& calls) : before_(replacement().exchange(&calls)) {}
ReplacedFileCalls::~ReplacedFileCalls() { replacement() = before_; }

}  // namespace gear::io
