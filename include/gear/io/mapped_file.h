#pragma once

#include <torch/types.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace gear::io {

/// A whole file, mapped read-only-on-disk: pages are shared with the page cache until written, and
/// what is written stays in this process (MAP_PRIVATE). The file must not shrink while it is
/// mapped.
class MappedFile {
 public:
  /// Throws Error when `path` is missing, a folder, or cannot be read.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  size_t size() const { return size_; }
  const char* data() const { return data_; }
  std::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile() = default;

  std::string path_;
  char* data_ = nullptr;
  size_t size_ = 0;
};

/// A contiguous tensor over bytes of the file, which the tensor keeps mapped. Bytes that are not
/// aligned for `dtype` are copied instead. The caller has checked that the bytes lie in the file.
at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, size_t offset,
                       at::IntArrayRef sizes, at::ScalarType dtype);

}  // namespace gear::io
