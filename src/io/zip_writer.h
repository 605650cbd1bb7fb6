#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gear/io/atomic.h"

namespace gear::io {

/// Little-endian fields one after the other.
class Fields {
 public:
  template <std::unsigned_integral Integer>
  Fields& add(Integer value) {
    for (size_t i = 0; i < sizeof value; ++i) {
      bytes_ += static_cast<char>((static_cast<uint64_t>(value) >> (8 * i)) & 0xFF);
    }
    return *this;
  }
  Fields& add(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// A stored record of a zip file. Headers give sizes and offsets in zip64 fields, so that one
/// layout serves every size, and 1 January 1980 for a date: the same content gives the same file.
struct ZipEntry {
  std::string name;
  uint32_t crc32 = 0;
  uint64_t bytes = 0;
  uint64_t offset = 0;   ///< of the local header
  uint16_t padding = 0;  ///< bytes of zeros between local header and content
};

/// Continues a checksum; 0 begins one.
uint32_t crc32_of(uint32_t before, const void* data, size_t bytes);

std::string zip_local_header(const ZipEntry& entry);

/// What ends a zip file: an entry for each record, found at `position`.
std::string zip_directory(const std::vector<ZipEntry>& entries, uint64_t position);

/// Records one after the other, the content of each at a multiple of `alignment` bytes.
class ZipWriter {
 public:
  ZipWriter(FileWriter& file, uint64_t alignment) : file_(file), alignment_(alignment) {}

  void add(const std::string& name, const void* data, size_t bytes);
  void add(const std::string& name, std::string_view content) {
    add(name, content.data(), content.size());
  }
  /// Writes the directory; nothing may follow.
  void finish();

 private:
  FileWriter& file_;
  uint64_t alignment_;
  std::vector<ZipEntry> entries_;
};

}  // namespace gear::io
