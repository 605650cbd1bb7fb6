#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gear::io {

/// Appends `bytes` bytes of `value`, little-endian.
inline void append_number(std::string& text, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
}

/// A zip file of stored records, written apart from the code under test.
inline std::string stored_zip(const std::vector<std::pair<std::string, std::string>>& records,
                              uint16_t method = 0) {
  std::string zip, directory;
  for (const auto& [name, data] : records) {
    const auto* bytes = reinterpret_cast<const Bytef*>(data.data());
    const uint64_t crc = ::crc32(0, bytes, static_cast<uInt>(data.size()));
    const uint64_t offset = zip.size();
    for (std::string* header : {&zip, &directory}) {
      append_number(*header, header == &zip ? 0x04034b50 : 0x02014b50, 4);
      if (header == &directory) append_number(*header, 20, 2);
      append_number(*header, 20, 2);
      append_number(*header, 0, 2);
      append_number(*header, method, 2);
      append_number(*header, 0, 4);
      append_number(*header, crc, 4);
      append_number(*header, data.size(), 4);
      append_number(*header, data.size(), 4);
      append_number(*header, name.size(), 2);
      append_number(*header, 0, 2);
    }
    append_number(directory, 0, 10);
    append_number(directory, offset, 4);
    zip += name + data;
    directory += name;
  }
  const uint64_t begin = zip.size();
  zip += directory;
  append_number(zip, 0x06054b50, 4);
  append_number(zip, 0, 4);
  append_number(zip, records.size(), 2);
  append_number(zip, records.size(), 2);
  append_number(zip, directory.size(), 4);
  append_number(zip, begin, 4);
  append_number(zip, 0, 2);
  return zip;
}

}  // namespace gear::io
