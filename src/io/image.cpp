#include "gear/io/image.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "gear/io/mapped_file.h"
#include "image_formats.h"

namespace gear::io {
namespace {

using Decoder = Image (*)(const ImageSource&);

/// The decoder that the first bytes call for, or nullptr.
Decoder decoder_for(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xFF\xD8\xFF"sv)) return &decode_jpeg;
  if (bytes.starts_with("\x89PNG\r\n\x1A\n"sv)) return &decode_png;
  if (bytes.starts_with("RIFF"sv) && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP"sv) {
    return &decode_webp;
  }
  for (const auto magic : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {
    if (bytes.starts_with(magic)) return &decode_tiff;
  }
  if (bytes.starts_with("BM"sv)) return &decode_bmp;
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      std::strchr(" \t\r\n\v\f#", bytes[2]) != nullptr) {
    return &decode_pnm;
  }
  return nullptr;
}

std::string first_bytes(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes.substr(0, 4)) {
    char hex[4];
    std::snprintf(hex, sizeof hex, "%02x ", static_cast<unsigned char>(byte));
    text += hex;
  }
  if (!text.empty()) text.pop_back();
  return text;
}

/// Reads 2 or 4 bytes of either byte order, with every offset checked.
class ExifReader {
 public:
  explicit ExifReader(std::string_view bytes) : bytes_(bytes), little_(bytes.starts_with("II")) {}

  bool holds(size_t offset, size_t count) const {
    return offset <= bytes_.size() && count <= bytes_.size() - offset;
  }
  uint32_t number(size_t offset, size_t count) const {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t at = little_ ? offset + count - 1 - i : offset + i;
      value = (value << 8) | static_cast<unsigned char>(bytes_[at]);
    }
    return value;
  }

 private:
  std::string_view bytes_;
  bool little_;
};

}  // namespace

void ImageSource::check_size(int64_t width, int64_t height) const {
  if (width < 1 || height < 1) fail("damaged image: its size is ", width, " x ", height, " pixels");
  const double megapixels = static_cast<double>(width) * static_cast<double>(height) * 1e-6;
  if (megapixels > options.max_megapixels) {
    fail("too large: ", width, " x ", height, " pixels are more than the limit of ",
         options.max_megapixels, " megapixels");
  }
}

Image decode_image(std::string_view bytes, const std::string& name, const DecodeOptions& options,
                   DecodeNotes* notes) {
  DecodeNotes unused;
  const ImageSource source{bytes, name, options, notes != nullptr ? *notes : unused};
  if (bytes.empty()) source.fail("the file is empty (0 bytes)");
  const Decoder decode = decoder_for(bytes);
  if (decode == nullptr) {
    source.fail(
        "not an image: expected JPEG, PNG, WebP, TIFF, BMP or PNM, got a file that starts "
        "with the bytes ",
        first_bytes(bytes));
  }
  return with_memory_for(name, [&] {
    Image image = decode(source);
    const bool turned = options.exif == Exif::kApply && source.notes.orientation != 1;
    return turned ? apply_orientation(image, source.notes.orientation) : image;
  });
}

Image read_image(const std::filesystem::path& path, const DecodeOptions& options,
                 DecodeNotes* notes) {
  const auto file = MappedFile::open(path);
  return decode_image(file->bytes(), path.string(), options, notes);
}

Tensor to_tensor(const Image& image) {
  auto* pixels = const_cast<uint8_t*>(image.pixels.data());  // from_blob has no const form
  return at::from_blob(pixels, {image.height, image.width, 3}, at::kByte)
      .permute({2, 0, 1})
      .clone(at::MemoryFormat::Contiguous);  // [3, H, W]
}

int exif_orientation(std::string_view exif) {
  constexpr uint32_t kOrientationTag = 0x0112;
  const ExifReader reader(exif);
  if (!reader.holds(0, 8)) return 1;
  const size_t directory = reader.number(4, 4);
  if (!reader.holds(directory, 2)) return 1;
  const size_t entries = reader.number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;  // tag 2, type 2, count 4, value 4
    if (!reader.holds(entry, 12)) return 1;
    if (reader.number(entry, 2) != kOrientationTag) continue;
    const uint32_t value = reader.number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image apply_orientation(const Image& image, int orientation) {
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  Image upright(transposed ? image.height : image.width, transposed ? image.width : image.height);
  const bool mirror_x =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (int64_t y = 0; y < upright.height; ++y) {
    for (int64_t x = 0; x < upright.width; ++x) {
      const int64_t across = transposed ? y : x;  // coordinates in `image` before mirroring
      const int64_t down = transposed ? x : y;
      const int64_t from_x = mirror_x ? image.width - 1 - across : across;
      const int64_t from_y = mirror_y ? image.height - 1 - down : down;
      std::memcpy(upright.row(y) + 3 * x, image.row(from_y) + 3 * from_x, 3);
    }
  }
  return upright;
}

void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb) {
  const int light = 255 - cmyk[3];
  for (int channel = 0; channel < 3; ++channel) {
    const int product = cmyk[channel] * light + 128;
    const int ink = (product + (product >> 8)) >> 8;  // product / 255, rounded
    rgb[channel] = static_cast<uint8_t>(std::clamp(light - ink, 0, 255));
  }
}

void apply_alpha(const ImageSource& source, uint8_t alpha, uint8_t* rgb) {
  if (alpha == 255) return;
  source.notes.transparent = true;
  if (source.options.alpha == Alpha::kDrop) return;
  for (int channel = 0; channel < 3; ++channel) {
    rgb[channel] = static_cast<uint8_t>((rgb[channel] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
}

}  // namespace gear::io
