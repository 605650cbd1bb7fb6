#include "gear/io/npz.h"

#include <zlib.h>

#include <cstring>
#include <limits>
#include <string>

#include "gear/core/error.h"
#include "gear/io/atomic.h"

namespace gear::io {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEndOfCentral = 0x06054b50;
constexpr uint32_t kZip64EndOfCentral = 0x06064b50;
constexpr uint32_t kZip64Locator = 0x07064b50;
constexpr uint16_t kZip64Extra = 0x0001;
constexpr uint16_t kVersion = 45;         // the first that knows zip64
constexpr uint16_t kDate = (1 << 5) | 1;  // 1 January 1980: the same pictures give the same file
constexpr uint32_t kInExtra = 0xFFFFFFFF;
const std::string kMember = "arr_0.npy";

/// Little-endian fields one after the other.
class Fields {
 public:
  template <class Integer>
  Fields& add(Integer value) {
    for (size_t i = 0; i < sizeof value; ++i) {
      bytes_ += static_cast<char>((static_cast<uint64_t>(value) >> (8 * i)) & 0xFF);
    }
    return *this;
  }
  Fields& add(const std::string& text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string npy_header(const Tensor& pictures) {
  std::string text = "{'descr': '|u1', 'fortran_order': False, 'shape': (" +
                     std::to_string(pictures.size(0)) + ", " + std::to_string(pictures.size(2)) +
                     ", " + std::to_string(pictures.size(3)) + ", 3), }";
  constexpr size_t kPrefix = 10;  // magic, version, length of the text
  constexpr size_t kAlignment = 64;
  while ((kPrefix + text.size() + 1) % kAlignment != 0) text += ' ';
  text += '\n';
  return Fields()
      .add(std::string("\x93NUMPY\x01"))
      .add(uint8_t{0})
      .add(static_cast<uint16_t>(text.size()))
      .add(text)
      .bytes();
}

struct Member {
  uint32_t crc = 0;
  uint64_t bytes = 0;
};

/// The member's bytes, picture by picture, so that no second copy of all of them is made.
template <class Sink>
void for_each_block(const Tensor& pictures, Sink&& sink) {
  const std::string header = npy_header(pictures);
  sink(header.data(), header.size());
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    const auto rows = pictures[i].permute({1, 2, 0}).contiguous();  // [H, W, 3]
    sink(reinterpret_cast<const char*>(rows.data_ptr<uint8_t>()), static_cast<size_t>(rows.numel()));
  }
}

Member measure(const Tensor& pictures) {
  Member member;
  for_each_block(pictures, [&](const char* data, size_t size) {
    member.crc = static_cast<uint32_t>(
        crc32_z(member.crc, reinterpret_cast<const unsigned char*>(data), size));
    member.bytes += size;
  });
  return member;
}

/// What local and central header share: version to name length, sizes in the zip64 field.
Fields& add_common(Fields& fields, const Member& member, uint16_t extra_bytes) {
  return fields.add(kVersion)
      .add(uint16_t{0})  // flags
      .add(uint16_t{0})  // stored
      .add(uint16_t{0})  // time
      .add(kDate)
      .add(member.crc)
      .add(kInExtra)
      .add(kInExtra)
      .add(static_cast<uint16_t>(kMember.size()))
      .add(extra_bytes);
}

std::string local_header(const Member& member) {
  Fields fields;
  fields.add(kLocalHeader);
  add_common(fields, member, 20).add(kMember);
  return fields.add(kZip64Extra).add(uint16_t{16}).add(member.bytes).add(member.bytes).bytes();
}

std::string central_directory(const Member& member, uint64_t offset_of_directory) {
  Fields entry;
  entry.add(kCentralHeader).add(kVersion);
  add_common(entry, member, 20)
      .add(uint16_t{0})  // comment
      .add(uint16_t{0})  // disk
      .add(uint16_t{0})  // internal attributes
      .add(uint32_t{0})  // external attributes
      .add(uint32_t{0})  // offset of the local header
      .add(kMember)
      .add(kZip64Extra)
      .add(uint16_t{16})
      .add(member.bytes)
      .add(member.bytes);
  const uint64_t size = entry.bytes().size();
  const uint64_t end = offset_of_directory + size;
  Fields tail;
  tail.add(kZip64EndOfCentral).add(uint64_t{44}).add(kVersion).add(kVersion);
  tail.add(uint32_t{0}).add(uint32_t{0}).add(uint64_t{1}).add(uint64_t{1});
  tail.add(size).add(offset_of_directory);
  tail.add(kZip64Locator).add(uint32_t{0}).add(end).add(uint32_t{1});
  tail.add(kEndOfCentral).add(uint16_t{0}).add(uint16_t{0}).add(uint16_t{1}).add(uint16_t{1});
  tail.add(static_cast<uint32_t>(size)).add(kInExtra).add(uint16_t{0});
  return entry.bytes() + tail.bytes();
}

}  // namespace

void write_samples_npz(const std::filesystem::path& path, const Tensor& pictures) {
  TORCH_CHECK(pictures.dim() == 4 && pictures.size(1) == 3 && pictures.scalar_type() == at::kByte,
              "write_samples_npz: expected uint8 [N, 3, H, W]");
  const Member member = measure(pictures);
  write_file_atomically(path, [&](FileWriter& file) {
    const std::string header = local_header(member);
    file.write(header.data(), header.size());
    for_each_block(pictures, [&](const char* data, size_t size) { file.write(data, size); });
    const std::string directory = central_directory(member, header.size() + member.bytes);
    file.write(directory.data(), directory.size());
  });
}

}  // namespace gear::io
