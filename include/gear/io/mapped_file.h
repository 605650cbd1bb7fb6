#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace gear::io {

/// A whole file, mapped read-only-on-disk: pages are shared with the page cache until written, and
/// what is written stays in this process (MAP_PRIVATE). The file must not shrink while it is
/// mapped.
class MappedFile {
 public:
  /// Throws Error when `path` is missing, not a regular file, or cannot be read; never waits.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  size_t size() const { return size_; }
  const char* data() const { return data_; }
  std::string_view bytes() const { return {data_, size_}; }

  /// Gives back the memory of whole pages that were only looked at; who needs them again reads them
  /// again. What was written to them would be lost.
  void forget(size_t offset, size_t bytes) const;

 private:
  MappedFile() = default;

  std::string path_;
  char* data_ = nullptr;
  size_t size_ = 0;
};

/// Most operations of LibTorch refuse tensors of more dimensions.
inline constexpr size_t kMaxDims = 64;

/// What a tensor of this shape takes. Nothing when that leaves 63 bits, where a size of zero counts
/// as one: LibTorch multiplies the other sizes all the same, for the strides.
std::optional<uint64_t> tensor_bytes(at::IntArrayRef sizes, at::ScalarType dtype);

/// Throws Error unless each of the bytes is 0 or 1: any other value in a bool is undefined in C++.
void check_booleans(std::string_view bytes);

/// A contiguous tensor over bytes of the file, which the tensor keeps mapped. Bytes that are not
/// aligned for `dtype` are copied instead. The caller has checked that the bytes lie in the file;
/// those of a boolean tensor are looked at by check_booleans, whose Error names no tensor.
at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, size_t offset,
                       at::IntArrayRef sizes, at::ScalarType dtype);

}  // namespace gear::io
