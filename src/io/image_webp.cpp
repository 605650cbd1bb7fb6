#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "image_formats.h"

namespace gear::io {
namespace {

/// Opaque pixels of `canvas` [H, W, 4] without their fourth byte.
Image drop_fourth_channel(const ImageSource& source, const uint8_t* canvas, int64_t width,
                          int64_t height) {
  Image image(width, height);
  for (int64_t i = 0; i < width * height; ++i) {
    uint8_t* rgb = image.pixels.data() + 3 * i;
    std::memcpy(rgb, canvas + 4 * i, 3);
    apply_alpha(source, canvas[4 * i + 3], rgb);
  }
  return image;
}

/// The first frame on its canvas.
Image decode_animation(const ImageSource& source) {
  const WebPData data{source.data(), source.bytes.size()};
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(
      WebPAnimDecoderNew(&data, nullptr), &WebPAnimDecoderDelete);
  WebPAnimInfo info;
  uint8_t* canvas = nullptr;
  int timestamp = 0;
  if (!decoder || WebPAnimDecoderGetInfo(decoder.get(), &info) == 0 ||
      WebPAnimDecoderGetNext(decoder.get(), &canvas, &timestamp) == 0) {
    source.fail("damaged WebP: the first frame of the animation cannot be decoded");
  }
  return drop_fourth_channel(source, canvas, info.canvas_width, info.canvas_height);
}

}  // namespace

Image decode_webp(const ImageSource& source) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(source.data(), source.bytes.size(), &features) != VP8_STATUS_OK) {
    source.fail("damaged WebP: its header cannot be read");
  }
  source.check_size(features.width, features.height);
  if (features.has_animation != 0) return decode_animation(source);

  const int64_t width = features.width;
  const int64_t height = features.height;
  const auto decode = [&](auto* into, std::vector<uint8_t>& pixels, int64_t channels) {
    if (into(source.data(), source.bytes.size(), pixels.data(), pixels.size(),
             static_cast<int>(width * channels)) == nullptr) {
      source.fail("damaged WebP: its pixels cannot be decoded; the file may be cut short");
    }
  };
  if (features.has_alpha == 0) {
    Image image(width, height);
    decode(&WebPDecodeRGBInto, image.pixels, 3);
    return image;
  }
  std::vector<uint8_t> canvas(static_cast<size_t>(width * height * 4));
  decode(&WebPDecodeRGBAInto, canvas, 4);
  return drop_fourth_channel(source, canvas.data(), width, height);
}

}  // namespace gear::io
