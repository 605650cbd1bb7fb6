#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gear/core/error.h"
#include "gear/core/tensor.h"

namespace gear::io {

/// An 8-bit RGB picture: rows from top to bottom, no padding between them.
struct Image {
  Image() = default;
  Image(int64_t image_width, int64_t image_height)
      : width(image_width),
        height(image_height),
        pixels(static_cast<size_t>(image_width) * static_cast<size_t>(image_height) * 3) {}

  const uint8_t* row(int64_t y) const { return pixels.data() + y * width * 3; }
  uint8_t* row(int64_t y) { return pixels.data() + y * width * 3; }

  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels{};  // [H, W, 3]
};

/// A rectangle of pixels.
struct Window {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;
};

enum class SixteenBit { kClip, kScale };  ///< 16-bit grey: min(v, 255), or the high byte
enum class Alpha { kDrop, kWhite };       ///< ignore transparency, or blend over white
enum class Exif { kIgnore, kApply };      ///< the orientation that a camera noted in a JPEG

/// The defaults give what Python's Pillow gives for `open(file).convert("RGB")`, bit for bit.
struct DecodeOptions {
  double max_megapixels = 50.0;  ///< checked against the header, before memory is taken
  SixteenBit sixteen_bit = SixteenBit::kClip;
  Alpha alpha = Alpha::kDrop;
  Exif exif = Exif::kIgnore;
  /// Which pixels of a picture of height x width the caller will look at; empty: all. A decoder
  /// that can spare the others leaves them black. Damage is found in either case.
  std::function<Window(int64_t height, int64_t width)> wanted{};
};

/// What a file holds that DecodeOptions decide about.
struct DecodeNotes {
  bool sixteen_bit_grey = false;
  bool transparent = false;  ///< at least one pixel is not opaque
  int orientation = 1;       ///< EXIF, 1 (upright) to 8
};

/// Decodes a JPEG, PNG, WebP, TIFF, BMP or PNM file; which one follows from its first bytes, not
/// from its name. A TIFF's own orientation tag is always applied, as Pillow does. Throws Error
/// "<name>: <reason>" for anything that is empty, damaged, truncated, too large for the limit or
/// for the memory, or no such image.
Image decode_image(std::string_view bytes, const std::string& name,
                   const DecodeOptions& options = {}, DecodeNotes* notes = nullptr);
Image read_image(const std::filesystem::path& path, const DecodeOptions& options = {},
                 DecodeNotes* notes = nullptr);

/// Runs `action`, which decodes or scales the image `name`. Where memory runs out in it, that is an
/// Error of this image, as damage is: it can be named and skipped.
template <class Action>
decltype(auto) with_memory_for(const std::string& name, Action&& action) {
  constexpr const char* kSentence =
      ": there is not enough memory for its pixels; free memory or lower the limit of megapixels";
  try {
    return std::forward<Action>(action)();
  } catch (const std::bad_alloc&) {
    fail(name, kSentence);
  } catch (const std::length_error&) {  // more pixels than a vector can ever hold
    fail(name, kSentence);
  }
}

Tensor to_tensor(const Image& image);  ///< a copy as uint8 [3, H, W]

/// Keyword to text, for the text chunks of a PNG ("Software", "prompt", ...). UTF-8.
using PngText = std::map<std::string, std::string>;

std::string encode_png(const Image& image, const PngText& text = {});

/// Writes the file whole or not at all; creates missing parent folders.
void write_png(const std::filesystem::path& path, const Image& image, const PngText& text = {});
/// `image` is uint8 [H, W, 3] or [3, H, W] on any device.
void write_png(const std::filesystem::path& path, const Tensor& image, const PngText& text = {});

}  // namespace gear::io
