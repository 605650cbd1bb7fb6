#pragma once

#include <cstdint>

#include "gear/io/image.h"

namespace gear::data {

enum class Filter { kBox, kBilinear, kBicubic, kLanczos };

/// A rectangle of pixels.
struct Window {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;
};

/// Resamples to height x width with Pillow's arithmetic, bit for bit: antialiased when shrinking,
/// columns first, 22-bit fixed-point weights, each pass rounded to 8 bits.
io::Image resize(const io::Image& image, int64_t height, int64_t width, Filter filter);

/// The pixels of `window` of resize(image, height, width, filter), without computing the others.
io::Image resize_window(const io::Image& image, int64_t height, int64_t width, Filter filter,
                        const Window& window);

}  // namespace gear::data
