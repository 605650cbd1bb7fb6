#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "gear/io/mapped_file.h"

namespace gear::io {

/// A record of a zip file: where its bytes stand in the mapped file.
struct ZipRecord {
  uint64_t begin = 0;
  uint64_t packed_size = 0;  ///< bytes in the file
  uint64_t size = 0;         ///< bytes of the content; the same for a stored record
  uint32_t crc32 = 0;
  bool deflated = false;
};

/// The records of a zip file by its central directory (PKWARE APPNOTE 4.3, 4.5.3 for zip64). Every
/// offset is checked against the file before use.
class ZipReader {
 public:
  explicit ZipReader(std::shared_ptr<const MappedFile> file);

  const std::map<std::string, ZipRecord>& records() const { return records_; }
  bool contains(const std::string& name) const { return records_.contains(name); }

  /// A stored record, its checksum compared. Throws Error when it is absent, damaged, or
  /// compressed.
  const ZipRecord& record(const std::string& name) const;
  /// The same without a look at its bytes.
  const ZipRecord& unchecked_record(const std::string& name) const;
  /// The content of a deflated record. Throws Error when it is absent or damaged.
  std::string inflated(const std::string& name) const;
  std::string_view bytes(const ZipRecord& record) const {
    return file_->bytes().substr(record.begin, record.packed_size);
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
  /// A small file could otherwise unfold the same bytes into a record after the other.
  void check_overlap() const;
  void read_zip64_sizes(uint64_t extra, uint64_t end, ZipRecord& record) const;
  const ZipRecord& find(const std::string& name) const;
  void check_crc(const std::string& name, uint32_t crc) const;
  uint64_t data_begin(const std::string& name, uint64_t header) const;
  uint64_t number(uint64_t offset, int bytes) const;

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, ZipRecord> records_;
};

}  // namespace gear::io
