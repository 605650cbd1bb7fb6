#include "gear/io/file_writer.h"

#include <fcntl.h>

#include <cerrno>

#include "gear/io/file_calls.h"
#include "io/paths.h"

namespace gear::io {

FileWriter::FileWriter(const std::filesystem::path& path, Open open) : path_(path.string()) {
  const int creation = open == Open::kNew ? O_CREAT | O_TRUNC : 0;
  descriptor_ = file_calls().open(path.c_str(), O_WRONLY | O_CLOEXEC | creation, 0666);
  if (descriptor_ < 0) fail_with_errno(path_, open == Open::kNew ? "create" : "open", errno);
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) file_calls().close(descriptor_);
}

void FileWriter::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = file_calls().write(descriptor_, next, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_with_errno(path_, "write", errno);
    }
    next += written;
    bytes -= static_cast<size_t>(written);
    position_ += static_cast<uint64_t>(written);
  }
}

void FileWriter::write_at(uint64_t position, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = file_calls().write_at(descriptor_, bytes.data(), bytes.size(),
                                                  static_cast<off_t>(position));
    if (written < 0 && errno != EINTR) fail_with_errno(path_, "write", errno);
    if (written < 0) continue;
    position += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void FileWriter::resize(uint64_t bytes) {
  if (file_calls().resize(descriptor_, static_cast<off_t>(bytes)) != 0) {
    fail_with_errno(path_, "write", errno);
  }
}

void FileWriter::sync() {
  if (file_calls().sync(descriptor_) != 0) fail_with_errno(path_, "sync", errno);
}

void FileWriter::close() {
  const int result = file_calls().close(descriptor_);
  descriptor_ = -1;
  if (result != 0) fail_with_errno(path_, "close", errno);
}

}  // namespace gear::io
