#include "io/zip_reader.h"

#include <c10/util/Exception.h>
#include <zlib.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "gear/core/error.h"

namespace gear::io {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryEntry = 0x02014b50;
constexpr uint32_t kDirectoryEnd = 0x06054b50;
constexpr uint32_t kZip64DirectoryEnd = 0x06064b50;
constexpr uint32_t kZip64Locator = 0x07064b50;
constexpr uint64_t kLocalHeaderBytes = 30;
constexpr uint64_t kEntryBytes = 46;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kLocatorBytes = 20;
constexpr uint64_t kZip64EndBytes = 56;
constexpr uint64_t kStored = 0;
constexpr uint64_t kDeflated = 8;
constexpr uint64_t kMaxDeflateRatio = 1032;  // zlib's technical details
constexpr size_t kZlibPiece = size_t{1} << 30;
constexpr size_t kChecksumPiece = size_t{1} << 26;
constexpr const char* kPackAgain = "; unpack the archive and pack it again with zip -0";
constexpr uint64_t kMaxComment = 65535;
constexpr uint64_t kZip64Extra = 1;
constexpr uint64_t kInZip64Extra = 0xffffffff;

/// The checksum of the bytes, `forget(offset, bytes)` called for each piece that is done.
template <class Forget>
uint32_t crc32_of(std::string_view bytes, Forget&& forget) {
  uLong crc = ::crc32(0, nullptr, 0);
  for (size_t at = 0; at < bytes.size(); at += kChecksumPiece) {
    const auto piece = bytes.substr(at, kChecksumPiece);
    crc =
        ::crc32(crc, reinterpret_cast<const Bytef*>(piece.data()), static_cast<uInt>(piece.size()));
    forget(at, piece.size());
  }
  return static_cast<uint32_t>(crc);
}

}  // namespace

ZipReader::ZipReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
  read_directory(find_directory());
}

uint64_t ZipReader::number(uint64_t offset, int bytes) const {
  const auto width = static_cast<uint64_t>(bytes);
  if (offset > file_->size() || file_->size() - offset < width) {
    fail(file_->path(), ": the zip directory points to byte ", offset, ", outside of the file of ",
         file_->size(), " bytes");
  }
  uint64_t value = 0;
  for (uint64_t i = 0; i < width; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(file_->data()[offset + i])) << 8 * i;
  }
  return value;
}

ZipReader::Directory ZipReader::find_directory() const {
  const uint64_t size = file_->size();
  const uint64_t lowest = size > kEndBytes + kMaxComment ? size - kEndBytes - kMaxComment : 0;
  for (uint64_t at = size < kEndBytes ? 0 : size - kEndBytes + 1; at-- > lowest;) {
    if (number(at, 4) != kDirectoryEnd || at + kEndBytes + number(at + 20, 2) != size) continue;
    Directory found{number(at + 16, 4), number(at + 12, 4), number(at + 10, 2)};
    if (at >= kLocatorBytes && number(at - kLocatorBytes, 4) == kZip64Locator) {
      const uint64_t end = number(at - kLocatorBytes + 8, 8);
      if (number(end, 4) != kZip64DirectoryEnd || size - end < kZip64EndBytes) {
        fail(file_->path(), ": the zip64 directory is damaged");
      }
      found = {number(end + 48, 8), number(end + 40, 8), number(end + 32, 8)};
    }
    if (found.begin > at || found.size > at - found.begin) {
      fail(file_->path(), ": the zip directory lies outside of the file");
    }
    return found;
  }
  fail(file_->path(),
       ": the end of the archive (the zip directory) is missing; the file is truncated, fetch or "
       "copy it again");
}

void ZipReader::read_directory(const Directory& directory) {
  uint64_t at = directory.begin;
  for (uint64_t i = 0; i < directory.records; ++i) at = read_entry(at, directory);
  check_overlap();
}

void ZipReader::check_overlap() const {
  std::vector<const std::pair<const std::string, ZipRecord>*> order;
  for (const auto& item : records_) order.push_back(&item);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->second.begin < b->second.begin; });
  for (size_t i = 1; i < order.size(); ++i) {
    const ZipRecord& before = order[i - 1]->second;
    if (order[i]->second.begin - before.begin < before.packed_size) {
      fail(file_->path(), ": records ", order[i - 1]->first, " and ", order[i]->first,
           " share bytes, which no program writes; do not trust the file, fetch it again");
    }
  }
}

uint64_t ZipReader::read_entry(uint64_t at, const Directory& directory) {
  const std::string& path = file_->path();
  const uint64_t left = directory.begin + directory.size - at;
  if (left < kEntryBytes || number(at, 4) != kDirectoryEntry) {
    fail(path, ": the zip directory is damaged after ", records_.size(), " records");
  }
  const uint64_t name_size = number(at + 28, 2);
  const uint64_t extra_size = number(at + 30, 2);
  const uint64_t entry_size = kEntryBytes + name_size + extra_size + number(at + 32, 2);
  if (left < entry_size) {
    fail(path, ": the zip directory is damaged after ", records_.size(), " records");
  }
  const std::string name(file_->bytes().substr(at + kEntryBytes, name_size));
  if ((number(at + 8, 2) & 1) != 0) fail(path, ": record ", name, " is encrypted", kPackAgain);
  const uint64_t method = number(at + 10, 2);
  if (method != kStored && method != kDeflated) {
    fail(path, ": record ", name, " is compressed in a way that this reader does not know",
         kPackAgain);
  }
  ZipRecord record{.begin = number(at + 42, 4),
                   .packed_size = number(at + 20, 4),
                   .size = number(at + 24, 4),
                   .crc32 = static_cast<uint32_t>(number(at + 16, 4)),
                   .deflated = method == kDeflated};
  const uint64_t extra = at + kEntryBytes + name_size;
  read_zip64_sizes(extra, extra + extra_size, record);
  if (!record.deflated && record.packed_size != record.size) {
    fail(path, ": record ", name, " has two different sizes");
  }
  record.begin = data_begin(name, record.begin);
  if (record.begin > directory.begin || directory.begin - record.begin < record.packed_size) {
    fail(path, ": record ", name, " of ", record.packed_size, " bytes leaves the file");
  }
  if (!records_.emplace(name, record).second) fail(path, ": record ", name, " occurs twice");
  return at + entry_size;
}

void ZipReader::read_zip64_sizes(uint64_t extra, uint64_t end, ZipRecord& record) const {
  while (end - extra >= 4) {
    uint64_t field = extra + 4;
    const uint64_t field_size = number(extra + 2, 2);
    if (end - field < field_size) fail(file_->path(), ": a zip entry has a damaged extra field");
    if (number(extra, 2) == kZip64Extra) {  // holds those of the three that did not fit
      for (uint64_t* value : {&record.size, &record.packed_size, &record.begin}) {
        if (*value != kInZip64Extra) continue;
        *value = number(field, 8);
        field += 8;
      }
    }
    extra += 4 + field_size;
  }
}

uint64_t ZipReader::data_begin(const std::string& name, uint64_t header) const {
  if (number(header, 4) != kLocalHeader) {
    fail(file_->path(), ": record ", name, " is not where the zip directory says");
  }
  return header + kLocalHeaderBytes + number(header + 26, 2) + number(header + 28, 2);
}

const ZipRecord& ZipReader::find(const std::string& name) const {
  const auto found = records_.find(name);
  if (found == records_.end()) fail(file_->path(), ": record ", name, " is missing");
  return found->second;
}

void ZipReader::check_crc(const std::string& name, uint32_t crc) const {
  if (crc != find(name).crc32) {
    fail(file_->path(), ": record ", name, " is damaged (its checksum differs); fetch it again");
  }
}

const ZipRecord& ZipReader::unchecked_record(const std::string& name) const {
  const ZipRecord& found = find(name);
  if (found.deflated) {
    fail(file_->path(), ": record ", name,
         " is compressed; PyTorch stores records as they are, so ",
         "another program packed the archive", kPackAgain);
  }
  return found;
}

const ZipRecord& ZipReader::record(const std::string& name) const {
  const ZipRecord& found = unchecked_record(name);
  if (found.crc32 == 0) return found;  // PyTorch was told to leave it out (set_crc32_options)
  // A look at all of a large archive must not keep all of it in memory.
  check_crc(name, crc32_of(bytes(found), [&](size_t at, size_t count) {
              file_->forget(found.begin + at, count);
            }));
  return found;
}

std::string ZipReader::inflated(const std::string& name) const {
  const ZipRecord& found = find(name);
  const auto packed = bytes(found);
  // No deflated byte stands for more, so a larger size is a lie that must not be allocated.
  if (found.size / kMaxDeflateRatio > packed.size()) {
    fail(file_->path(), ": record ", name, " cannot hold the ", found.size, " bytes it claims");
  }
  std::string content(found.size, '\0');
  z_stream stream{};
  TORCH_CHECK(inflateInit2(&stream, -MAX_WBITS) == Z_OK, "zlib: inflateInit2 failed");
  size_t read = 0, written = 0;
  int status = Z_OK;
  while (status == Z_OK) {  // zlib counts in 32 bits
    const size_t in = std::min<size_t>(packed.size() - read, kZlibPiece);
    const size_t out = std::min<size_t>(content.size() - written, kZlibPiece);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data())) + read;
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(content.data()) + written;
    stream.avail_out = static_cast<uInt>(out);
    status = ::inflate(&stream, Z_NO_FLUSH);
    read += in - stream.avail_in;
    written += out - stream.avail_out;
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END || written != content.size()) {
    fail(file_->path(), ": record ", name, " is damaged (it does not unpack); fetch it again");
  }
  check_crc(name, crc32_of(content, [](size_t, size_t) {}));
  return content;
}

}  // namespace gear::io
