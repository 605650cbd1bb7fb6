#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gear/core/error.h"
#include "gear/io/image.h"

namespace gear::io {

/// One file to decode, as every format's decoder gets it.
struct ImageSource {
  std::string_view bytes;
  const std::string& name;
  const DecodeOptions& options;
  DecodeNotes& notes;

  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(bytes.data()); }

  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    gear::fail(name, ": ", parts...);
  }
  /// Fails on an empty image and above the limit; call it before memory is taken.
  void check_size(int64_t width, int64_t height) const;
};

Image decode_jpeg(const ImageSource& source);
Image decode_png(const ImageSource& source);
Image decode_webp(const ImageSource& source);
Image decode_tiff(const ImageSource& source);
Image decode_bmp(const ImageSource& source);
Image decode_pnm(const ImageSource& source);

/// Orientation tag of an EXIF block that starts at its TIFF header; 1 when there is none.
int exif_orientation(std::string_view exif);

/// Turns and mirrors the picture so that orientation 1 to 8 becomes upright.
Image apply_orientation(const Image& image, int orientation);

/// One pixel of C, M, Y, K (0 = no ink) with the integer arithmetic of Pillow.
void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb);

/// Blends one pixel over white where the options ask for it and notes that it is transparent.
void apply_alpha(const ImageSource& source, uint8_t alpha, uint8_t* rgb);

}  // namespace gear::io
