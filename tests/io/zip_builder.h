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

struct ZipMember {
  std::string name;
  std::string data = {};     // as it stands in the file
  uint16_t method = 0;       // 0 stored, 8 deflated
  uint64_t size = 0;         // what the headers claim for the content
  std::string content = {};  // of which the checksum is taken
};

/// A zip file, written apart from the code under test.
inline std::string zip_of(const std::vector<ZipMember>& members) {
  std::string zip, directory;
  for (const auto& member : members) {
    const uint64_t crc = ::crc32(0, reinterpret_cast<const Bytef*>(member.content.data()),
                                 static_cast<uInt>(member.content.size()));
    const uint64_t offset = zip.size();
    for (std::string* header : {&zip, &directory}) {
      append_number(*header, header == &zip ? 0x04034b50 : 0x02014b50, 4);
      if (header == &directory) append_number(*header, 20, 2);
      append_number(*header, 20, 2);
      append_number(*header, 0, 2);
      append_number(*header, member.method, 2);
      append_number(*header, 0, 4);
      append_number(*header, crc, 4);
      append_number(*header, member.data.size(), 4);
      append_number(*header, member.size, 4);
      append_number(*header, member.name.size(), 2);
      append_number(*header, 0, 2);
    }
    append_number(directory, 0, 8);
    append_number(directory, 0, 2);
    append_number(directory, offset, 4);
    zip += member.name + member.data;
    directory += member.name;
  }
  const uint64_t begin = zip.size();
  zip += directory;
  append_number(zip, 0x06054b50, 4);
  append_number(zip, 0, 4);
  append_number(zip, members.size(), 2);
  append_number(zip, members.size(), 2);
  append_number(zip, directory.size(), 4);
  append_number(zip, begin, 4);
  append_number(zip, 0, 2);
  return zip;
}

/// A zip file of stored records.
inline std::string stored_zip(const std::vector<std::pair<std::string, std::string>>& records,
                              uint16_t method = 0) {
  std::vector<ZipMember> members;
  for (const auto& [name, data] : records) {
    members.push_back({name, data, method, data.size(), data});
  }
  return zip_of(members);
}

}  // namespace gear::io
