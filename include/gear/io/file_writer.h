#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace gear::io {

/// Unbuffered writes to one open file. Every failure is an Error with the path and the reason.
class FileWriter {
 public:
  enum class Open {
    kNew,       ///< creates or empties the file
    kExisting,  ///< as it is; one that is not there is an Error
  };

  explicit FileWriter(const std::filesystem::path& path, Open open = Open::kNew);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  uint64_t position() const { return position_; }  ///< bytes written by write() so far
  /// Writes at `position`, whatever stands there; write() goes on where it was.
  void write_at(uint64_t position, std::string_view bytes);
  /// Gives the file this size; what is new in it is zero and takes no space yet.
  void resize(uint64_t bytes);

  void sync();   ///< until the bytes are on the disk
  void close();  ///< reports what the file system delayed; the destructor cannot

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t position_ = 0;
};

}  // namespace gear::io
