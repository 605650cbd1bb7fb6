#include <tiffio.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "image_formats.h"

namespace gear::io {
namespace {

/// libtiff's view of a file in memory.
struct MemoryFile {
  std::string_view bytes;
  uint64_t at = 0;

  static MemoryFile& of(thandle_t handle) { return *static_cast<MemoryFile*>(handle); }
  static tmsize_t read(thandle_t handle, void* out, tmsize_t count) {
    MemoryFile& file = of(handle);
    if (file.at >= file.bytes.size()) return 0;
    const auto length =
        std::min<uint64_t>(static_cast<uint64_t>(count), file.bytes.size() - file.at);
    std::memcpy(out, file.bytes.data() + file.at, length);
    file.at += length;
    return static_cast<tmsize_t>(length);
  }
  static tmsize_t write(thandle_t, void*, tmsize_t) { return 0; }
  static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    MemoryFile& file = of(handle);
    if (whence == SEEK_CUR) offset += file.at;
    if (whence == SEEK_END) offset += file.bytes.size();
    return file.at = offset;
  }
  static int close(thandle_t) { return 0; }
  static toff_t size(thandle_t handle) { return of(handle).bytes.size(); }
};

using TiffHandle = std::unique_ptr<TIFF, decltype(&TIFFClose)>;

TiffHandle open_tiff(MemoryFile& file) {
  // Its messages would go to standard error; ours name the file.
  static const bool silent = [] {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
    return true;
  }();
  (void)silent;
  // "m": do not map the file, the bytes are in memory already.
  return {TIFFClientOpen("", "rm", &file, &MemoryFile::read, &MemoryFile::write, &MemoryFile::seek,
                         &MemoryFile::close, &MemoryFile::size, nullptr, nullptr),
          &TIFFClose};
}

class TiffReader {
 public:
  explicit TiffReader(const ImageSource& source)
      : source_(source), file_{source.bytes}, tiff_(open_tiff(file_)) {}

  Image read() {
    if (!tiff_) source_.fail("damaged TIFF: its first directory cannot be read");
    read_tags();
    source_.check_size(width_, height_);
    check_tiles();
    if (needs_rgba_interface()) return apply_orientation(read_by_rgba_interface(), orientation_);
    check_layout();
    const uint16_t planes = planar_ == PLANARCONFIG_SEPARATE ? samples_ : uint16_t{1};
    for (uint16_t plane = 0; plane < planes; ++plane) planes_.push_back(read_plane(plane));
    Image image(width_, height_);
    source_.notes.sixteen_bit_grey |= is_grey() && bits_ == 16;
    for (uint32_t y = 0; y < height_; ++y) convert_row(y, image.row(y));
    return apply_orientation(image, orientation_);
  }

 private:
  [[noreturn]] void fail_damaged() const {
    source_.fail("damaged TIFF: its pixels cannot be decoded; the file may be cut short");
  }

  template <class Value>
  Value tag(uint32_t id, Value otherwise) const {
    Value value = otherwise;
    TIFFGetFieldDefaulted(tiff_.get(), id, &value);
    return value;
  }

  void read_tags() {
    width_ = tag<uint32_t>(TIFFTAG_IMAGEWIDTH, 0);
    height_ = tag<uint32_t>(TIFFTAG_IMAGELENGTH, 0);
    bits_ = tag<uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
    samples_ = tag<uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
    planar_ = tag<uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    format_ = tag<uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
    compression_ = tag<uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
    photometric_ = tag<uint16_t>(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
    orientation_ = std::clamp<int>(tag<uint16_t>(TIFFTAG_ORIENTATION, 1), 1, 8);
    uint16_t num_extra = 0;
    uint16_t* extra = nullptr;
    if (TIFFGetField(tiff_.get(), TIFFTAG_EXTRASAMPLES, &num_extra, &extra) != 0 && num_extra > 0) {
      first_extra_ = extra[0];
    }
    if (photometric_ == PHOTOMETRIC_YCBCR && compression_ == COMPRESSION_JPEG) {
      TIFFSetField(tiff_.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      photometric_ = PHOTOMETRIC_RGB;
    }
    if (photometric_ == PHOTOMETRIC_PALETTE &&
        TIFFGetField(tiff_.get(), TIFFTAG_COLORMAP, &palette_[0], &palette_[1], &palette_[2]) ==
            0) {
      source_.fail("damaged TIFF: its colour table is missing");
    }
  }

  bool needs_rgba_interface() const {
    return photometric_ == PHOTOMETRIC_YCBCR || compression_ == COMPRESSION_OJPEG;
  }
  bool is_grey() const {
    return photometric_ == PHOTOMETRIC_MINISWHITE || photometric_ == PHOTOMETRIC_MINISBLACK;
  }
  uint16_t colours() const {
    if (photometric_ == PHOTOMETRIC_RGB) return 3;
    return photometric_ == PHOTOMETRIC_SEPARATED ? 4 : 1;
  }

  void check_layout() const {
    const bool small = bits_ == 1 || bits_ == 2 || bits_ == 4;
    const bool wide = bits_ == 16 || bits_ == 32;
    bool known = bits_ == 8 && format_ != SAMPLEFORMAT_IEEEFP;
    if (is_grey())
      known = known || small || (wide && !(bits_ == 16 && format_ == SAMPLEFORMAT_IEEEFP));
    if (photometric_ == PHOTOMETRIC_PALETTE) known = known || small;
    if (colours() > 1) known = known || (bits_ == 16 && format_ == SAMPLEFORMAT_UINT);
    const bool listed = is_grey() || photometric_ == PHOTOMETRIC_PALETTE || colours() > 1;
    if (!known || !listed || samples_ < colours() || samples_ > colours() + 3 ||
        (small && samples_ != 1)) {
      source_.fail("TIFF with photometric interpretation ", photometric_, ", ", samples_,
                   " samples of ", bits_, " bits is not supported; convert the picture to PNG");
    }
  }

  /// A tile is at most a little larger than the picture, whatever the file claims.
  void check_tiles() const {
    constexpr int64_t kMostBeyond = 4096;
    if (TIFFIsTiled(tiff_.get()) == 0) return;
    const int64_t width = tag<uint32_t>(TIFFTAG_TILEWIDTH, 0);
    const int64_t height = tag<uint32_t>(TIFFTAG_TILELENGTH, 0);
    const double megapixels = static_cast<double>(width) * static_cast<double>(height) * 1e-6;
    if (width % 16 != 0 || width == 0 || height == 0 || width > width_ + kMostBeyond ||
        height > height_ + kMostBeyond || megapixels > source_.options.max_megapixels) {
      source_.fail("damaged TIFF: it has tiles of ", width, " x ", height,
                   " pixels for a picture of ", width_, " x ", height_);
    }
  }

  /// Old-style JPEG and subsampled YCbCr, which libtiff turns into RGB itself.
  Image read_by_rgba_interface() const {
    std::vector<uint32_t> canvas(size_t{width_} * height_);
    if (TIFFReadRGBAImageOriented(tiff_.get(), width_, height_, canvas.data(), orientation_, 1) ==
        0) {
      fail_damaged();
    }
    Image image(width_, height_);
    for (size_t i = 0; i < canvas.size(); ++i) {
      image.pixels[3 * i] = static_cast<uint8_t>(TIFFGetR(canvas[i]));
      image.pixels[3 * i + 1] = static_cast<uint8_t>(TIFFGetG(canvas[i]));
      image.pixels[3 * i + 2] = static_cast<uint8_t>(TIFFGetB(canvas[i]));
    }
    return image;
  }

  /// Of `pixels` pixels in one plane, rounded up.
  size_t bytes_of(uint32_t pixels) const {
    const size_t interleaved = planar_ == PLANARCONFIG_SEPARATE ? 1 : samples_;
    return (size_t{pixels} * interleaved * bits_ + 7) / 8;
  }
  size_t row_bytes() const { return bytes_of(width_); }

  std::vector<uint8_t> read_plane(uint16_t plane) const {
    std::vector<uint8_t> pixels(row_bytes() * height_);
    if (TIFFIsTiled(tiff_.get()) != 0) {
      read_tiles(plane, pixels);
    } else {
      read_strips(plane, pixels);
    }
    return pixels;
  }

  void read_strips(uint16_t plane, std::vector<uint8_t>& pixels) const {
    const uint32_t rows = std::min(tag<uint32_t>(TIFFTAG_ROWSPERSTRIP, height_), height_);
    if (rows == 0) fail_damaged();
    for (uint32_t y = 0; y < height_; y += rows) {
      const auto bytes = static_cast<tmsize_t>(row_bytes() * std::min(rows, height_ - y));
      const uint32_t strip = TIFFComputeStrip(tiff_.get(), y, plane);
      uint8_t* out = pixels.data() + y * row_bytes();
      if (TIFFReadEncodedStrip(tiff_.get(), strip, out, bytes) != bytes) fail_damaged();
    }
  }

  void read_tiles(uint16_t plane, std::vector<uint8_t>& pixels) const {
    const auto tile_width = tag<uint32_t>(TIFFTAG_TILEWIDTH, 0);
    const auto tile_height = tag<uint32_t>(TIFFTAG_TILELENGTH, 0);
    const tmsize_t tile_row_bytes = TIFFTileRowSize(tiff_.get());
    const tmsize_t tile_bytes = TIFFTileSize(tiff_.get());
    if (tile_bytes <= 0) fail_damaged();
    std::vector<uint8_t> tile(static_cast<size_t>(tile_bytes));
    for (uint32_t y = 0; y < height_; y += tile_height) {
      for (uint32_t x = 0; x < width_; x += tile_width) {
        if (TIFFReadTile(tiff_.get(), tile.data(), x, y, 0, plane) != tile_bytes) fail_damaged();
        const size_t left = bytes_of(x);
        const size_t count = std::min(static_cast<size_t>(tile_row_bytes), row_bytes() - left);
        for (uint32_t row = 0; row < std::min(tile_height, height_ - y); ++row) {
          std::memcpy(pixels.data() + (y + row) * row_bytes() + left,
                      tile.data() + row * static_cast<size_t>(tile_row_bytes), count);
        }
      }
    }
  }

  /// Sample `index` of pixel (x, y), as it stands in the file.
  uint32_t sample(uint32_t y, uint32_t x, uint16_t index) const {
    const bool separate = planar_ == PLANARCONFIG_SEPARATE;
    const uint8_t* row = planes_[separate ? index : 0].data() + y * row_bytes();
    const size_t at = separate ? x : size_t{x} * samples_ + index;
    if (bits_ == 8) return row[at];
    if (bits_ == 16) return load<uint16_t>(row + 2 * at);
    if (bits_ == 32) return load<uint32_t>(row + 4 * at);
    const size_t bit = at * bits_;
    return row[bit / 8] >> (8U - bits_ - bit % 8) & ((1U << bits_) - 1);
  }

  template <class Value>
  static Value load(const uint8_t* bytes) {
    Value value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }

  void convert_row(uint32_t y, uint8_t* rgb) const {
    for (uint32_t x = 0; x < width_; ++x, rgb += 3) {
      if (is_grey()) {
        std::memset(rgb, grey(sample(y, x, 0)), 3);
      } else if (photometric_ == PHOTOMETRIC_PALETTE) {
        for (int i = 0; i < 3; ++i)
          rgb[i] = static_cast<uint8_t>(palette_[i][sample(y, x, 0)] >> 8);
      } else {
        uint8_t value[4];
        for (uint16_t i = 0; i < colours(); ++i) value[i] = high_byte(sample(y, x, i));
        if (colours() == 4) {
          cmyk_to_rgb(value, rgb);
        } else {
          std::memcpy(rgb, value, 3);
        }
      }
      if (photometric_ != PHOTOMETRIC_SEPARATED && samples_ > colours()) {
        apply_extra_sample(high_byte(sample(y, x, colours())), rgb);
      }
    }
  }

  uint8_t high_byte(uint32_t value) const {
    return static_cast<uint8_t>(bits_ == 16 ? value >> 8 : value);
  }

  /// Grey of any width. Wide samples are clipped to 0...255, not scaled, as in Pillow.
  uint8_t grey(uint32_t value) const {
    if (bits_ <= 8) {
      const uint32_t most = (1U << bits_) - 1;
      if (photometric_ == PHOTOMETRIC_MINISWHITE) value = most - value;
      return static_cast<uint8_t>(value * 255 / most);
    }
    if (format_ == SAMPLEFORMAT_IEEEFP) {
      float real = 0;
      std::memcpy(&real, &value, sizeof real);
      return real > 0 ? static_cast<uint8_t>(std::min(real, 255.0F)) : uint8_t{0};  // NaN is 0
    }
    int64_t number = value;
    if (format_ == SAMPLEFORMAT_INT) {
      number = bits_ == 16 ? static_cast<int16_t>(value) : static_cast<int32_t>(value);
    } else if (bits_ == 16 && source_.options.sixteen_bit == SixteenBit::kScale) {
      number >>= 8;
    }
    return static_cast<uint8_t>(std::clamp<int64_t>(number, 0, 255));
  }

  void apply_extra_sample(uint8_t alpha, uint8_t* rgb) const {
    const bool associated = first_extra_ == EXTRASAMPLE_ASSOCALPHA;
    if (!associated && first_extra_ != EXTRASAMPLE_UNASSALPHA) return;
    if (associated && alpha != 0) {  // the colours were multiplied by it
      for (int i = 0; i < 3; ++i) {
        rgb[i] = static_cast<uint8_t>(std::min(255 * rgb[i] / alpha, 255));
      }
    }
    apply_alpha(source_, alpha, rgb);
  }

  const ImageSource& source_;
  MemoryFile file_;
  TiffHandle tiff_;
  uint32_t width_ = 0, height_ = 0;
  uint16_t bits_ = 1, samples_ = 1, planar_ = 1, format_ = 1, compression_ = 1, photometric_ = 0;
  uint16_t first_extra_ = EXTRASAMPLE_UNSPECIFIED;
  int orientation_ = 1;
  uint16_t* palette_[3] = {};                 // owned by libtiff
  std::vector<std::vector<uint8_t>> planes_;  // one, or one for each sample
};

}  // namespace

Image decode_tiff(const ImageSource& source) { return TiffReader(source).read(); }

}  // namespace gear::io
