#include "io/zip_writer.h"

#include <zlib.h>

namespace gear::io {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEndOfCentral = 0x06054b50;
constexpr uint32_t kZip64EndOfCentral = 0x06064b50;
constexpr uint32_t kZip64Locator = 0x07064b50;
constexpr uint16_t kZip64Extra = 0x0001;
constexpr uint16_t kPaddingExtra = 0x4246;  // "FB", which PyTorch pads with too
constexpr uint16_t kExtraHeaderBytes = 4;
constexpr uint16_t kLocalZip64Bytes = 16;    // two sizes
constexpr uint16_t kCentralZip64Bytes = 24;  // and the offset
constexpr uint64_t kLocalHeaderBytes = 30;
constexpr uint16_t kVersion = 45;         // the first that knows zip64
constexpr uint16_t kDate = (1 << 5) | 1;  // 1 January 1980
constexpr uint32_t kInExtra = 0xFFFFFFFF;
constexpr uint16_t kManyRecords = 0xFFFF;

/// What local and central header share: version to length of the extra fields.
Fields& add_common(Fields& fields, const ZipEntry& entry, uint16_t extra_bytes) {
  return fields.add(kVersion)
      .add(uint16_t{0})  // flags
      .add(uint16_t{0})  // stored
      .add(uint16_t{0})  // time
      .add(kDate)
      .add(entry.crc32)
      .add(kInExtra)  // sizes
      .add(kInExtra)
      .add(static_cast<uint16_t>(entry.name.size()))
      .add(extra_bytes);
}

void add_central_header(Fields& fields, const ZipEntry& entry) {
  fields.add(kCentralHeader).add(kVersion);
  add_common(fields, entry, kExtraHeaderBytes + kCentralZip64Bytes)
      .add(uint16_t{0})  // comment
      .add(uint16_t{0})  // disk
      .add(uint16_t{0})  // internal attributes
      .add(uint32_t{0})  // external attributes
      .add(kInExtra)     // offset of the local header
      .add(entry.name);
  fields.add(kZip64Extra).add(kCentralZip64Bytes);
  fields.add(entry.bytes).add(entry.bytes).add(entry.offset);
}

}  // namespace

uint32_t crc32_of(uint32_t before, const void* data, size_t bytes) {
  return static_cast<uint32_t>(crc32_z(before, static_cast<const unsigned char*>(data), bytes));
}

std::string zip_local_header(const ZipEntry& entry) {
  const auto extra_bytes =
      static_cast<uint16_t>(kExtraHeaderBytes + kLocalZip64Bytes + entry.padding);
  Fields fields;
  fields.add(kLocalHeader);
  add_common(fields, entry, extra_bytes).add(entry.name);
  fields.add(kZip64Extra).add(kLocalZip64Bytes).add(entry.bytes).add(entry.bytes);
  if (entry.padding > 0) {
    const auto zeros = static_cast<uint16_t>(entry.padding - kExtraHeaderBytes);
    fields.add(kPaddingExtra).add(zeros).add(std::string(zeros, '\0'));
  }
  return fields.bytes();
}

std::string zip_directory(const std::vector<ZipEntry>& entries, uint64_t position) {
  Fields fields;
  for (const ZipEntry& entry : entries) add_central_header(fields, entry);
  const uint64_t size = fields.bytes().size();
  const uint64_t count = entries.size();
  fields.add(kZip64EndOfCentral).add(uint64_t{44}).add(kVersion).add(kVersion);
  fields.add(uint32_t{0}).add(uint32_t{0}).add(count).add(count).add(size).add(position);
  fields.add(kZip64Locator).add(uint32_t{0}).add(position + size).add(uint32_t{1});
  const auto short_count = static_cast<uint16_t>(count < kManyRecords ? count : kManyRecords);
  fields.add(kEndOfCentral).add(uint16_t{0}).add(uint16_t{0}).add(short_count).add(short_count);
  fields.add(kInExtra).add(kInExtra).add(uint16_t{0});
  return fields.bytes();
}

void ZipWriter::add(const std::string& name, const void* data, size_t bytes) {
  ZipEntry entry{
      .name = name, .crc32 = crc32_of(0, data, bytes), .bytes = bytes, .offset = file_.position()};
  const uint64_t unpadded = entry.offset + kLocalHeaderBytes + name.size() + kExtraHeaderBytes +
                            kLocalZip64Bytes + kExtraHeaderBytes;
  const uint64_t zeros = (alignment_ - unpadded % alignment_) % alignment_;
  entry.padding = static_cast<uint16_t>(kExtraHeaderBytes + zeros);
  file_.write(zip_local_header(entry));
  file_.write(data, bytes);
  entries_.push_back(std::move(entry));
}

void ZipWriter::finish() { file_.write(zip_directory(entries_, file_.position())); }

}  // namespace gear::io
