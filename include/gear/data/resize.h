#pragma once

#include <cstdint>

#include "gear/io/image.h"

namespace gear::data {

enum class Filter { kBox, kBilinear, kBicubic, kLanczos };

using io::Window;

/// Resamples to height x width with Pillow's arithmetic, bit for bit: antialiased when shrinking,
/// columns first, 22-bit fixed-point weights, each pass rounded to 8 bits.
io::Image resize(const io::Image& image, int64_t height, int64_t width, Filter filter);

/// The pixels of `window` of resize(image, height, width, filter), without computing the others.
io::Image resize_window(const io::Image& image, int64_t height, int64_t width, Filter filter,
                        const Window& window);

/// The pixels of a picture of in_height x in_width that resize_window() looks at.
Window resize_source(int64_t in_height, int64_t in_width, int64_t height, int64_t width,
                     Filter filter, const Window& window);

}  // namespace gear::data
