#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "gear/io/mapped_file.h"

namespace gear::io {

/// A stored (not compressed) record of a zip file, as bytes of the mapped file.
struct ZipRecord {
  uint64_t begin = 0;
  uint64_t size = 0;
  uint32_t crc32 = 0;
};

/// The records of a zip file by its central directory (PKWARE APPNOTE 4.3, 4.5.3 for zip64). Every
/// offset is checked against the file before use; compressed or encrypted records are refused.
class ZipReader {
 public:
  explicit ZipReader(std::shared_ptr<const MappedFile> file);

  const std::map<std::string, ZipRecord>& records() const { return records_; }
  bool contains(const std::string& name) const { return records_.contains(name); }

  /// The record, its checksum compared. Throws Error when it is absent or damaged.
  const ZipRecord& record(const std::string& name) const;
  std::string_view bytes(const ZipRecord& record) const {
    return file_->bytes().substr(record.begin, record.size);
  }

 private:
  struct Directory {
    uint64_t begin = 0;
    uint64_t size = 0;
    uint64_t records = 0;
  };

  Directory find_directory() const;
  void read_directory(const Directory& directory);
  /// Adds the record of the entry at `at` and returns where the next entry begins.
  uint64_t read_entry(uint64_t at, const Directory& directory);
  void read_zip64_sizes(uint64_t extra, uint64_t end, ZipRecord& record, uint64_t& packed) const;
  uint64_t data_begin(const std::string& name, uint64_t header) const;
  uint64_t number(uint64_t offset, int bytes) const;

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, ZipRecord> records_;
};

}  // namespace gear::io
