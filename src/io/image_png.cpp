#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <utility>

#include "gear/io/atomic.h"
#include "image_formats.h"

namespace gear::io {
namespace {

/// libpng reports errors by a callback that must not return, so it jumps. Everything with a
/// destructor lives in an object outside the functions that the jump leaves.
struct PngErrors {
  std::jmp_buf jump;
  char message[256];
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* errors = static_cast<PngErrors*>(png_get_error_ptr(png));
  std::strncpy(errors->message, message, sizeof errors->message - 1);
  std::longjmp(errors->jump, 1);
}

void on_warning(png_structp, png_const_charp) {}

/// Decodes to the file's own samples; the conversion to RGB is ours, so that it is Pillow's and not
/// what libpng would do about gamma, transparency and 16 bits.
class PngReader {
 public:
  explicit PngReader(const ImageSource& source) : source_(source), unread_(source.bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &errors_, &on_error, &on_warning);
    info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  Image read() {
    if (!read_header()) fail_damaged();
    source_.check_size(width_, height_);
    if (!start_rows()) fail_damaged();
    prepare_colours();
    Image image(width_, height_);
    const bool plain_rgb = colour_type_ == PNG_COLOR_TYPE_RGB && depth_ == 8;
    const size_t row_bytes = png_get_rowbytes(png_, info_);
    if (!plain_rgb) samples_.resize(row_bytes * height_);
    uint8_t* start = plain_rgb ? image.pixels.data() : samples_.data();
    for (size_t y = 0; y < height_; ++y) rows_.push_back(start + y * row_bytes);
    if (!read_pixels()) fail_damaged();
    if (!plain_rgb || has_key_) {
      for (size_t y = 0; y < height_; ++y)
        convert_row(rows_[y], image.row(static_cast<int64_t>(y)));
    }
    return image;
  }

 private:
  static constexpr size_t kChunkHeader = 8;  // bytes: length, name

  [[noreturn]] void fail_damaged() const { source_.fail("damaged PNG: ", errors_.message); }

  static void read_bytes(png_structp png, png_bytep out, size_t count) {
    auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > reader->unread_.size()) png_error(png, "the file ends too early");
    std::memcpy(out, reader->unread_.data(), count);
    reader->unread_.remove_prefix(count);
    if (count == kChunkHeader) reader->shorten_cut_chunk(out);
  }

  /// Lets a pixel chunk that the end of the file cuts claim no more than is there: libpng then
  /// decodes that much instead of nothing.
  void shorten_cut_chunk(png_bytep header) const {
    constexpr size_t kName = 4;  // behind the length
    if (std::memcmp(header + kName, "IDAT", 4) != 0) return;
    const auto left = static_cast<png_uint_32>(std::min<size_t>(unread_.size(), PNG_UINT_31_MAX));
    if (png_get_uint_32(header) > left) png_save_uint_32(header, left);
  }

  bool read_header() {
    if (setjmp(errors_.jump) != 0) return false;
    png_set_read_fn(png_, this, &PngReader::read_bytes);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_size is the limit
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Texts, colour profiles and camera data have no use here, and packed ones unfold to gigabytes.
    constexpr char kSkipped[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0eXIf";  // names of five bytes
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER,
                                reinterpret_cast<png_const_bytep>(kSkipped), sizeof kSkipped / 5);
    png_read_info(png_, info_);
    // As in Pillow, the pixel data are checked by zlib's own checksum, not by the chunk's.
    png_set_crc_action(png_, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    width_ = png_get_image_width(png_, info_);
    height_ = png_get_image_height(png_, info_);
    depth_ = png_get_bit_depth(png_, info_);
    colour_type_ = png_get_color_type(png_, info_);
    return true;
  }

  /// Takes memory for rows, so the size must have been checked.
  bool start_rows() {
    if (setjmp(errors_.jump) != 0) return false;
    png_set_interlace_handling(png_);
    if (depth_ < 8) png_set_packing(png_);  // one sample a byte, not scaled
    png_read_update_info(png_, info_);
    return true;
  }

  /// As in Pillow, a file that ends after the data of its last row is whole: what is missing are
  /// checksums.
  bool read_pixels() {
    if (setjmp(errors_.jump) != 0) return all_rows_decoded();
    png_read_image(png_, rows_.data());
    return true;
  }

  bool all_rows_decoded() const {
    constexpr int kAdam7Passes = 7;
    if (png_get_interlace_type(png_, info_) == PNG_INTERLACE_NONE) {
      return png_get_current_row_number(png_) >= height_;
    }
    return png_get_current_pass_number(png_) >= kAdam7Passes;
  }

  /// Tables from sample to RGB and to alpha, for samples of at most 8 bits.
  void prepare_colours() {
    png_bytep alpha = nullptr;
    int num_alpha = 0;
    png_color_16p key = nullptr;
    const bool transparency = png_get_tRNS(png_, info_, &alpha, &num_alpha, &key) != 0;
    if (colour_type_ == PNG_COLOR_TYPE_PALETTE) {
      png_colorp palette = nullptr;
      int size = 0;
      png_get_PLTE(png_, info_, &palette, &size);
      for (int i = 0; i < size; ++i) {
        palette_[static_cast<size_t>(i)] = {palette[i].red, palette[i].green, palette[i].blue};
      }
      palette_alpha_.fill(255);
      if (transparency) std::copy_n(alpha, std::min(num_alpha, 256), palette_alpha_.begin());
      return;
    }
    has_key_ = transparency && key != nullptr;
    if (!has_key_) return;
    key_ = {key->red, key->green, key->blue};
    if ((colour_type_ & PNG_COLOR_MASK_COLOR) == 0) key_.fill(key->gray);
  }

  unsigned sample(const uint8_t* row, size_t index) const {
    if (depth_ < 16) return row[index];
    return static_cast<unsigned>(row[2 * index] << 8 | row[2 * index + 1]);
  }

  uint8_t grey(unsigned value) const {
    if (depth_ < 16) return static_cast<uint8_t>(value * 255 / ((1U << depth_) - 1));
    const bool clip =
        colour_type_ == PNG_COLOR_TYPE_GRAY && source_.options.sixteen_bit == SixteenBit::kClip;
    return static_cast<uint8_t>(clip ? std::min(value, 255U) : value >> 8);
  }

  void convert_row(const uint8_t* row, uint8_t* rgb) const {
    if (colour_type_ == PNG_COLOR_TYPE_PALETTE) {
      for (size_t x = 0; x < width_; ++x) {
        std::memcpy(rgb + 3 * x, palette_[row[x]].data(), 3);
        apply_alpha(source_, palette_alpha_[row[x]], rgb + 3 * x);
      }
      return;
    }
    const bool colour = (colour_type_ & PNG_COLOR_MASK_COLOR) != 0;
    const bool alpha = (colour_type_ & PNG_COLOR_MASK_ALPHA) != 0;
    const size_t step = (colour ? 3U : 1U) + (alpha ? 1U : 0U);
    source_.notes.sixteen_bit_grey |= depth_ == 16 && colour_type_ == PNG_COLOR_TYPE_GRAY;
    for (size_t x = 0; x < width_; ++x) {
      bool is_key = has_key_;
      for (size_t channel = 0; channel < 3; ++channel) {
        const unsigned value = sample(row, step * x + (colour ? channel : 0));
        is_key = is_key && value == key_[channel];
        const unsigned high_byte = depth_ == 16 ? value >> 8 : value;
        rgb[3 * x + channel] = colour ? static_cast<uint8_t>(high_byte) : grey(value);
      }
      if (alpha) {
        const unsigned opacity = sample(row, step * x + step - 1);
        apply_alpha(source_, static_cast<uint8_t>(depth_ == 16 ? opacity >> 8 : opacity),
                    rgb + 3 * x);
      } else if (is_key) {
        apply_alpha(source_, 0, rgb + 3 * x);
      }
    }
  }

  const ImageSource& source_;
  std::string_view unread_;
  PngErrors errors_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  size_t width_ = 0, height_ = 0;
  int depth_ = 0, colour_type_ = 0;
  std::array<std::array<uint8_t, 3>, 256> palette_{};  // black beyond its end
  std::array<uint8_t, 256> palette_alpha_{};
  bool has_key_ = false;
  std::array<unsigned, 3> key_{};  // the one transparent colour
  std::vector<uint8_t> samples_;
  std::vector<png_bytep> rows_;
};

class PngWriter {
 public:
  PngWriter(const Image& image, const PngText& text) : image_(image) {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, &errors_, &on_error, &on_warning);
    info_ = png_create_info_struct(png_);
    for (const auto& [keyword, value] : text) {
      const bool ascii = std::all_of(value.begin(), value.end(), [](char c) { return c >= 0; });
      png_text entry{};
      entry.compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
      entry.key = const_cast<char*>(keyword.c_str());  // libpng copies both
      entry.text = const_cast<char*>(value.c_str());
      text_.push_back(entry);
    }
    for (int64_t y = 0; y < image.height; ++y) rows_.push_back(const_cast<png_bytep>(image.row(y)));
  }
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;

  std::string write() {
    if (!run()) fail("writing a PNG: ", errors_.message);
    return std::move(bytes_);
  }

 private:
  bool run() {
    if (setjmp(errors_.jump) != 0) return false;
    const auto append = [](png_structp png, png_bytep data, size_t count) {
      static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<char*>(data), count);
    };
    png_set_write_fn(png_, &bytes_, append, [](png_structp) {});
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(image_.width),
                 static_cast<png_uint_32>(image_.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (!text_.empty()) png_set_text(png_, info_, text_.data(), static_cast<int>(text_.size()));
    png_write_info(png_, info_);
    png_write_image(png_, rows_.data());
    png_write_end(png_, info_);
    return true;
  }

  const Image& image_;
  PngErrors errors_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::vector<png_text> text_;
  std::vector<png_bytep> rows_;
  std::string bytes_;
};

}  // namespace

Image decode_png(const ImageSource& source) { return PngReader(source).read(); }

std::string encode_png(const Image& image, const PngText& text) {
  return PngWriter(image, text).write();
}

void write_png(const std::filesystem::path& path, const Image& image, const PngText& text) {
  write_file_atomically(path, encode_png(image, text));
}

void write_png(const std::filesystem::path& path, const Tensor& image, const PngText& text) {
  TORCH_CHECK(image.scalar_type() == at::kByte && image.dim() == 3 &&
                  (image.size(0) == 3 || image.size(2) == 3),
              "write_png: expected uint8 [H, W, 3] or [3, H, W], got ", image.toString(), " ",
              image.sizes());
  const Tensor rows = (image.size(2) == 3 ? image : image.permute({1, 2, 0})).cpu().contiguous();
  Image copy(rows.size(1), rows.size(0));
  std::memcpy(copy.pixels.data(), rows.const_data_ptr<uint8_t>(), copy.pixels.size());
  write_png(path, copy, text);
}

}  // namespace gear::io
