#pragma once

#include <array>

#include "gear/core/tensor.h"

// From the pictures of a batch to what a vision encoder takes.
// B batch, S image side in pixels

namespace gear::models {

/// Mean and standard deviation of red, green and blue in [0, 1].
struct PixelStatistics {
  std::array<double, 3> mean, std;
};
inline constexpr PixelStatistics kImageNetPixels = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
inline constexpr PixelStatistics kClipPixels = {{0.48145466, 0.4578275, 0.40821073},
                                                {0.26862954, 0.26130258, 0.27577711}};
inline constexpr PixelStatistics kCentredPixels = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};

/// uint8 [B, 3, S, S] -> float32 in [0, 1], same shape.
Tensor unit_pixels(const Tensor& images_u8);

/// (pixels - mean) / std per channel: float32 [B, 3, S, S], same out.
Tensor normalize_pixels(const Tensor& pixels, const PixelStatistics& statistics);

/// Bicubic (a = -0.75) without antialias and without clamping: [B, 3, S, S] -> [B, 3, side, side].
Tensor resize_pixels(const Tensor& pixels, int64_t side);

}  // namespace gear::models
