#include <zlib.h>

#include <string>

#include "gear/io/npz.h"

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
constexpr size_t kNpyHeaderBytes = 128;  // a multiple of 64, as the format asks
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

/// Of the same length for every number of pictures, so that it can be written last.
std::string npy_header(int64_t num_pictures, int64_t height, int64_t width) {
  constexpr size_t kPrefix = 10;  // magic, version, length of the text
  std::string text = "{'descr': '|u1', 'fortran_order': False, 'shape': (" +
                     std::to_string(num_pictures) + ", " + std::to_string(height) + ", " +
                     std::to_string(width) + ", 3), }";
  TORCH_CHECK(kPrefix + text.size() < kNpyHeaderBytes, "npy_header: the shape is too long");
  text.resize(kNpyHeaderBytes - kPrefix - 1, ' ');
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

uint32_t crc32_of(uint32_t before, const void* data, size_t bytes) {
  return static_cast<uint32_t>(crc32_z(before, static_cast<const unsigned char*>(data), bytes));
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

SamplesNpzWriter::SamplesNpzWriter(const std::filesystem::path& path, int64_t height, int64_t width)
    : file_(path), height_(height), width_(width) {
  file_.writer().write(local_header({}));  // both headers are completed by finish()
  file_.writer().write(npy_header(0, height_, width_));
}

void SamplesNpzWriter::append(const Tensor& pictures) {
  TORCH_CHECK(pictures.dim() == 4 && pictures.size(1) == 3 && pictures.size(2) == height_ &&
                  pictures.size(3) == width_ && pictures.scalar_type() == at::kByte,
              "SamplesNpzWriter: expected uint8 [n, 3, ", height_, ", ", width_, "]");
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    const auto rows = pictures[i].to(at::kCPU).permute({1, 2, 0}).contiguous();  // [H, W, 3]
    crc_ = crc32_of(crc_, rows.const_data_ptr(), rows.nbytes());
    file_.writer().write(rows.const_data_ptr(), rows.nbytes());
    ++num_pictures_;
  }
}

void SamplesNpzWriter::finish() {
  FileWriter& writer = file_.writer();
  const std::string npy = npy_header(num_pictures_, height_, width_);
  const auto picture_bytes = static_cast<uint64_t>(num_pictures_ * height_ * width_ * 3);
  const uint32_t crc = static_cast<uint32_t>(crc32_combine(
      crc32_of(0, npy.data(), npy.size()), crc_, static_cast<z_off_t>(picture_bytes)));
  const Member member{crc, npy.size() + picture_bytes};
  const std::string header = local_header(member);
  writer.overwrite(0, header + npy);
  writer.write(central_directory(member, header.size() + member.bytes));
  file_.commit();
}

void write_samples_npz(const std::filesystem::path& path, const Tensor& pictures) {
  SamplesNpzWriter writer(path, pictures.size(2), pictures.size(3));
  writer.append(pictures);
  writer.finish();
}

}  // namespace gear::io
