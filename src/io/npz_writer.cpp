#include <zlib.h>

#include <string>

#include "gear/io/npz.h"
#include "io/zip_writer.h"

namespace gear::io {
namespace {

constexpr size_t kNpyHeaderBytes = 128;  // a multiple of 64, as the format asks
const std::string kMember = "arr_0.npy";

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

}  // namespace

SamplesNpzWriter::SamplesNpzWriter(const std::filesystem::path& path, int64_t height, int64_t width)
    : file_(path), height_(height), width_(width) {
  file_.writer().write(
      zip_local_header({.name = kMember}));  // both headers are completed by finish()
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
  const ZipEntry entry{.name = kMember, .crc32 = crc, .bytes = npy.size() + picture_bytes};
  writer.write_at(0, zip_local_header(entry) + npy);
  writer.write(zip_directory({entry}, writer.position()));
  file_.commit();
}

void write_samples_npz(const std::filesystem::path& path, const Tensor& pictures) {
  SamplesNpzWriter writer(path, pictures.size(2), pictures.size(3));
  writer.append(pictures);
  writer.finish();
}

}  // namespace gear::io
