#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "image_formats.h"

namespace gear::io {
namespace {

constexpr uint32_t kRaw = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3;

struct Mask {
  uint32_t bits = 0;
  int shift = 0;
  uint32_t most = 0;  // the largest value, 0 for an absent channel

  explicit Mask(uint32_t mask) : bits(mask) {
    if (mask == 0) return;
    while ((mask >> shift & 1) == 0) ++shift;
    most = mask >> shift;
  }
  uint8_t value(uint32_t pixel) const {
    if (most == 0) return 255;
    return static_cast<uint8_t>(uint64_t{(pixel & bits) >> shift} * 255 / most);
  }
};

/// Windows and OS/2 bitmaps: 1, 4, 8 bits with a palette (plain or run-length coded), 16, 24, 32.
class BmpReader {
 public:
  explicit BmpReader(const ImageSource& source) : source_(source) {}

  Image read() {
    read_header();
    source_.check_size(width_, height_);
    Image image(width_, height_);
    if (compression_ == kRle8 || compression_ == kRle4) {
      expand_runs();
    } else {
      const auto available = source_.bytes.size() - std::min(source_.bytes.size(), pixels_at_);
      // The padding of the last row may be missing.
      const auto rows_before = row_bytes() * static_cast<size_t>(height_ - 1);
      if (available < rows_before + (static_cast<size_t>(width_) * bits_ + 7) / 8) fail_short();
    }
    for (int64_t y = 0; y < height_; ++y) {
      convert_row(static_cast<size_t>(top_down_ ? y : height_ - 1 - y), image.row(y));
    }
    return image;
  }

 private:
  [[noreturn]] void fail_short() const { source_.fail("damaged BMP: the file ends too early"); }

  uint32_t number(size_t offset, size_t count) const {
    if (offset > source_.bytes.size() || count > source_.bytes.size() - offset) fail_short();
    uint32_t value = 0;
    for (size_t i = count; i-- > 0;) value = value << 8 | source_.data()[offset + i];
    return value;
  }

  size_t row_bytes() const { return (static_cast<size_t>(width_) * bits_ + 31) / 32 * 4; }

  void read_header() {
    constexpr size_t kInfo = 14;  // after the file header
    pixels_at_ = number(10, 4);
    const size_t info_size = number(kInfo, 4);
    const bool os2 = info_size == 12;
    size_t num_colours = 0;
    if (os2) {
      width_ = number(kInfo + 4, 2);
      height_ = number(kInfo + 6, 2);
      bits_ = number(kInfo + 10, 2);
    } else {
      constexpr std::array<size_t, 6> kKnown = {40, 52, 56, 64, 108, 124};
      if (std::find(kKnown.begin(), kKnown.end(), info_size) == kKnown.end()) {
        source_.fail("damaged BMP: unknown header of ", info_size, " bytes");
      }
      width_ = static_cast<int32_t>(number(kInfo + 4, 4));
      const int64_t signed_height = static_cast<int32_t>(number(kInfo + 8, 4));
      top_down_ = signed_height < 0;
      height_ = std::abs(signed_height);
      bits_ = number(kInfo + 14, 2);
      compression_ = number(kInfo + 16, 4);
      num_colours = number(kInfo + 32, 4);
    }
    check_layout();
    size_t header_end = kInfo + info_size;
    if (compression_ == kBitFields) {
      read_masks(kInfo + 40, info_size >= 56);
      header_end = std::max(header_end, kInfo + 52);  // those of a short header follow it
    }
    if (bits_ <= 8) header_end = read_palette(header_end, num_colours, os2 ? 3 : 4);
    // Some writers leave the offset out, or forget the palette in it.
    const bool without_palette = bits_ <= 8 && pixels_at_ == kInfo + info_size;
    if (pixels_at_ == 0 || without_palette) pixels_at_ = header_end;
  }

  void check_layout() const {
    const bool palette = bits_ == 1 || bits_ == 4 || bits_ == 8;
    const bool direct = bits_ == 16 || bits_ == 24 || bits_ == 32;
    const bool known =
        (compression_ == kRaw && (palette || direct)) || (compression_ == kBitFields && direct) ||
        (compression_ == kRle8 && bits_ == 8) || (compression_ == kRle4 && bits_ == 4);
    if (!known) {
      source_.fail("BMP of ", bits_, " bits with compression ", compression_,
                   " is not supported; convert the picture to PNG");
    }
  }

  void read_masks(size_t offset, bool with_alpha) {
    const bool absent = (number(offset, 4) | number(offset + 4, 4) | number(offset + 8, 4)) == 0;
    if (absent) return;  // all zero stands for the usual order
    red_ = Mask(number(offset, 4));
    green_ = Mask(number(offset + 4, 4));
    blue_ = Mask(number(offset + 8, 4));
    if (with_alpha) alpha_ = Mask(number(offset + 12, 4));
  }

  /// Returns where the palette ends.
  size_t read_palette(size_t offset, size_t num_colours, size_t entry_bytes) {
    const size_t most = size_t{1} << bits_;
    if (num_colours == 0) num_colours = most;
    for (size_t i = 0; i < std::min(num_colours, most); ++i) {
      const uint32_t bgr = number(offset + i * entry_bytes, 3);
      palette_[i] = {static_cast<uint8_t>(bgr >> 16), static_cast<uint8_t>(bgr >> 8),
                     static_cast<uint8_t>(bgr)};
    }
    return offset + entry_bytes * num_colours;
  }

  /// Run-length codes to one palette index a byte, in file order.
  void expand_runs() {
    const auto width = static_cast<size_t>(width_);
    const size_t total = width * static_cast<size_t>(height_);
    indices_.reserve(total);
    size_t at = pixels_at_;
    size_t x = 0;  // what goes beyond the end of a row is dropped
    const auto pad_to = [&](size_t size) { indices_.resize(std::min(size, total)); };
    while (indices_.size() < total) {
      const uint32_t count = number(at, 1);
      const uint32_t code = number(at + 1, 1);
      at += 2;
      if (count > 0) {
        x += append_run(std::min<size_t>(count, width - std::min(x, width)), code);
      } else if (code == 0) {
        pad_to((indices_.size() + width - 1) / width * width);
        x = 0;
      } else if (code == 1) {
        pad_to(total);
      } else if (code == 2) {
        pad_to(indices_.size() + number(at, 1) + number(at + 1, 1) * width);
        x = indices_.size() % width;
        at += 2;
      } else {
        at += append_literals(at, std::min<size_t>(code, total - indices_.size()));
        at += at % 2;  // padded to 16 bits
        x += code;
      }
    }
  }

  /// Returns `count`.
  size_t append_run(size_t count, uint32_t code) {
    for (size_t i = 0; i < count; ++i) indices_.push_back(index_of(code, i));
    return count;
  }

  /// Returns how many bytes they take.
  size_t append_literals(size_t at, size_t count) {
    const size_t in_a_byte = compression_ == kRle4 ? 2 : 1;
    for (size_t i = 0; i < count; ++i) {
      indices_.push_back(index_of(number(at + i / in_a_byte, 1), i));
    }
    return (count + in_a_byte - 1) / in_a_byte;
  }

  /// Index `i` of a code: its byte, or its high and low half in turn.
  uint8_t index_of(uint32_t byte, size_t i) const {
    if (compression_ != kRle4) return static_cast<uint8_t>(byte);
    return static_cast<uint8_t>(i % 2 == 0 ? byte >> 4 : byte & 15);
  }

  void convert_row(size_t file_row, uint8_t* rgb) const {
    const uint8_t* row = source_.data() + pixels_at_ + file_row * row_bytes();
    for (int64_t x = 0; x < width_; ++x, rgb += 3) {
      if (!indices_.empty()) {
        const size_t at = file_row * static_cast<size_t>(width_) + static_cast<size_t>(x);
        std::memcpy(rgb, palette_[indices_[at]].data(), 3);
      } else if (bits_ <= 8) {
        const auto bit = static_cast<size_t>(x) * bits_;
        const size_t index = row[bit / 8] >> (8 - bits_ - bit % 8) & ((1U << bits_) - 1);
        std::memcpy(rgb, palette_[index].data(), 3);
      } else {
        convert_pixel(row + static_cast<size_t>(x) * bits_ / 8, rgb);
      }
    }
  }

  void convert_pixel(const uint8_t* bytes, uint8_t* rgb) const {
    if (bits_ == 24) {
      for (int i = 0; i < 3; ++i) rgb[i] = bytes[2 - i];
      return;
    }
    uint32_t pixel = static_cast<uint32_t>(bytes[0] | bytes[1] << 8);
    if (bits_ == 32)
      pixel |= static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
    if (bits_ == 16 && compression_ == kRaw) {
      const Mask red(0x7C00), green(0x03E0), blue(0x001F);
      rgb[0] = red.value(pixel), rgb[1] = green.value(pixel), rgb[2] = blue.value(pixel);
      return;
    }
    rgb[0] = red_.value(pixel), rgb[1] = green_.value(pixel), rgb[2] = blue_.value(pixel);
    apply_alpha(source_, alpha_.value(pixel), rgb);
  }

  const ImageSource& source_;
  size_t pixels_at_ = 0;
  int64_t width_ = 0, height_ = 0;
  bool top_down_ = false;
  uint32_t bits_ = 0;
  uint32_t compression_ = kRaw;
  Mask red_{0x00FF0000}, green_{0x0000FF00}, blue_{0x000000FF}, alpha_{0};
  std::array<std::array<uint8_t, 3>, 256> palette_{};
  std::vector<uint8_t> indices_;  // of run-length coded files
};

}  // namespace

Image decode_bmp(const ImageSource& source) { return BmpReader(source).read(); }

}  // namespace gear::io
