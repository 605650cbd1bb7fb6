#pragma once

#include <cstdint>
#include <functional>

#include "gear/data/resize.h"

namespace gear::data {

struct ImageSize {
  int64_t height = 0;
  int64_t width = 0;
};

/// Size after scaling the short side to `short_side`; the long side is truncated to whole pixels.
ImageSize short_side_size(ImageSize size, int64_t short_side);

/// The middle square; an odd remainder is halved with ties to even.
Window centre_crop(ImageSize size, int64_t side);

/// A square at a uniformly drawn place, a function of its arguments alone.
Window random_crop(ImageSize size, int64_t side, uint64_t seed, int64_t epoch, int64_t sample);

/// Whether to mirror, with probability one half, a function of its arguments alone.
bool random_flip(uint64_t seed, int64_t epoch, int64_t sample);

/// Scales the short side to `short_side`; the same pixels when it already has this length.
io::Image resize_short_side(const io::Image& image, int64_t short_side, Filter filter);

/// Writes `window` of `image`, mirrored left to right if asked, as planes [3, H, W] to `out`.
void copy_planar(const io::Image& image, const Window& window, bool mirrored, uint8_t* out);

/// How to cut a square out of a scaled picture: where, given the size, and whether mirrored.
struct Cut {
  std::function<Window(ImageSize)> window;
  bool mirrored = false;
};

Cut centre_cut(int64_t side);  ///< centre_crop(), not mirrored

/// Scales the short side of `image` to `side` and writes the square that `cut` says as planes
/// [3, side, side] to `out`. Pixels beyond the square are not computed, so that a thin picture
/// takes no more memory than a square one.
void scaled_crop(const io::Image& image, int64_t side, Filter filter, const Cut& cut, uint8_t* out);

/// The centre crop of ADM's evaluation suite: halves with a box filter while the short side is at
/// least twice `side`, scales it to `side` (bicubic), and cuts the middle with rounding down.
io::Image adm_centre_crop(const io::Image& image, int64_t side);

}  // namespace gear::data
