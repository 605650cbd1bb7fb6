#include <zlib.h>

#include <cstring>
#include <string>

#include "fuzz/targets.h"
#include "gear/io/image.h"
#include "io/image_formats.h"

namespace gear::fuzz {
namespace {

using Decoder = io::Image (*)(const io::ImageSource&);

/// Decodes with the defaults, or else with every other choice. A small limit keeps a run short.
void decode(Decoder decoder, std::string_view bytes, bool defaults) {
  io::DecodeOptions options{.max_megapixels = 0.1};
  if (!defaults) {
    options.sixteen_bit = io::SixteenBit::kScale;
    options.alpha = io::Alpha::kWhite;
    options.exif = io::Exif::kApply;
  }
  io::DecodeNotes notes;
  const std::string name = "picture";
  const io::Image image = io::with_memory_for(name, [&] {
    return decoder(io::ImageSource{bytes, name, options, notes});
  });
  expect(image.width > 0 && image.height > 0, "a picture has pixels");
  expect(image.pixels.size() == static_cast<size_t>(image.width * image.height * 3),
         "a picture has three bytes a pixel");
  expect(notes.orientation >= 1 && notes.orientation <= 8, "an orientation is 1 to 8");
  expect(io::apply_orientation(image, notes.orientation).pixels.size() == image.pixels.size(),
         "a turned picture has as many pixels");
}

/// The last byte chooses, so that a fuzzer reaches both.
void decode(Decoder decoder, std::string_view bytes) {
  if (bytes.size() < 4) return;  // a decoder is called for its first bytes only
  decode(decoder, bytes, bytes.back() % 2 == 0);
}

uint32_t big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

/// The chunks of a PNG with the checksums that belong to them: libpng would refuse nearly every
/// change for its checksum alone.
std::string with_checksums(std::string_view bytes) {
  constexpr size_t kSignature = 8, kLength = 4, kName = 4, kChecksum = 4;
  std::string png(bytes);
  for (size_t at = kSignature; at + kLength + kName + kChecksum <= png.size();) {
    const size_t content = kName + big_endian(bytes.substr(at, kLength));
    if (content > png.size() - at - kLength - kChecksum) break;
    const char* begin = png.data() + at + kLength;
    const auto checksum =
        ::crc32(0, reinterpret_cast<const Bytef*>(begin), static_cast<uInt>(content));
    for (size_t i = 0; i < kChecksum; ++i) {
      png[at + kLength + content + i] = static_cast<char>(checksum >> (24 - 8 * i));
    }
    at += kLength + content + kChecksum;
  }
  return png;
}

}  // namespace

void image_bmp(std::string_view bytes) { decode(&io::decode_bmp, bytes); }
void image_jpeg(std::string_view bytes) { decode(&io::decode_jpeg, bytes); }
void image_pnm(std::string_view bytes) { decode(&io::decode_pnm, bytes); }
void image_tiff(std::string_view bytes) { decode(&io::decode_tiff, bytes); }
void image_webp(std::string_view bytes) { decode(&io::decode_webp, bytes); }

void image_png(std::string_view bytes) {
  try {
    decode(&io::decode_png, bytes);
  } catch (const Error&) {
    decode(&io::decode_png, with_checksums(bytes));
  }
}

}  // namespace gear::fuzz
