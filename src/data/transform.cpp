#include "gear/data/transform.h"

#include <algorithm>
#include <cmath>

#include "byte_blocks.h"
#include "gear/core/random.h"

namespace gear::data {
namespace {

uint64_t sample_seed(uint64_t seed, const char* purpose, int64_t epoch, int64_t sample) {
  return stream_seed(seed, purpose, static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample));
}

int64_t half_to_even(int64_t remainder) {
  return static_cast<int64_t>(std::nearbyint(static_cast<double>(remainder) / 2.0));
}

/// `width` pixels to one row of each plane, from right to left if `mirrored`.
GEAR_VECTOR_CLONES
void split_row(const uint8_t* pixels, int64_t width, bool mirrored, uint8_t* row, int64_t plane) {
  const auto place = [&](int64_t x, int64_t count) {  // of pixels [x, x + count)
    return mirrored ? width - x - count : x;
  };
  int64_t x = 0;
  for (; x + kBlock <= width; x += kBlock) {
    const auto channels = split_pixels(pixels + 3 * x);
    uint8_t* to = row + place(x, kBlock);
    for (size_t c = 0; c < 3; ++c) {
      store_bytes(mirrored ? reversed(channels[c]) : channels[c],
                  to + static_cast<int64_t>(c) * plane);
    }
  }
  for (; x < width; ++x) {
    for (int64_t c = 0; c < 3; ++c) row[place(x, 1) + c * plane] = pixels[3 * x + c];
  }
}

}  // namespace

ImageSize short_side_size(ImageSize size, int64_t short_side) {
  const int64_t shortest = std::min(size.height, size.width);
  if (shortest == short_side) return size;
  if (size.width <= size.height) return {short_side * size.height / size.width, short_side};
  return {short_side, short_side * size.width / size.height};
}

Window centre_crop(ImageSize size, int64_t side) {
  return {half_to_even(size.height - side), half_to_even(size.width - side), side, side};
}

Window random_crop(ImageSize size, int64_t side, uint64_t seed, int64_t epoch, int64_t sample) {
  RandomStream stream(sample_seed(seed, "crop", epoch, sample));
  const int64_t top = stream.integer(0, size.height - side);
  const int64_t left = stream.integer(0, size.width - side);
  return {top, left, side, side};
}

bool random_flip(uint64_t seed, int64_t epoch, int64_t sample) {
  return RandomStream(sample_seed(seed, "flip", epoch, sample)).bernoulli(0.5);
}

io::Image resize_short_side(const io::Image& image, int64_t short_side, Filter filter) {
  const ImageSize size = short_side_size({image.height, image.width}, short_side);
  return resize(image, size.height, size.width, filter);
}

void copy_planar(const io::Image& image, const Window& window, bool mirrored, uint8_t* out) {
  const int64_t plane = window.height * window.width;
  for (int64_t y = 0; y < window.height; ++y) {
    split_row(image.row(window.top + y) + 3 * window.left, window.width, mirrored,
              out + y * window.width, plane);
  }
}

Cut centre_cut(int64_t side) {
  return {[side](ImageSize size) { return centre_crop(size, side); }, false};
}

void scaled_crop(const io::Image& image, int64_t side, Filter filter, const Cut& cut,
                 uint8_t* out) {
  const ImageSize size = short_side_size({image.height, image.width}, side);
  const io::Image square = resize_window(image, size.height, size.width, filter, cut.window(size));
  copy_planar(square, {0, 0, square.height, square.width}, cut.mirrored, out);
}

io::Image adm_centre_crop(const io::Image& image, int64_t side) {
  io::Image scaled = image;
  while (std::min(scaled.width, scaled.height) >= 2 * side) {
    scaled = resize(scaled, scaled.height / 2, scaled.width / 2, Filter::kBox);
  }
  const double scale =
      static_cast<double>(side) / static_cast<double>(std::min(scaled.width, scaled.height));
  const auto scaled_side = [&](int64_t length) {  // ties to even
    return static_cast<int64_t>(std::nearbyint(static_cast<double>(length) * scale));
  };
  const int64_t height = scaled_side(scaled.height);
  const int64_t width = scaled_side(scaled.width);
  return resize_window(scaled, height, width, Filter::kBicubic,
                       {(height - side) / 2, (width - side) / 2, side, side});
}

}  // namespace gear::data
