#include "gear/models/teachers/pixels.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bicubic2d.h>

// B batch, S image side in pixels

namespace gear::models {
namespace {

Tensor per_channel(const std::array<double, 3>& values, const Tensor& like) {
  return at::tensor(at::ArrayRef<double>(values), like.options()).view({1, 3, 1, 1});
}

}  // namespace

Tensor unit_pixels(const Tensor& images_u8) {
  TORCH_CHECK(images_u8.scalar_type() == at::kByte, "unit_pixels: images must be uint8, got ",
              images_u8.scalar_type());
  return images_u8.to(at::kFloat) / 255;
}

Tensor normalize_pixels(const Tensor& pixels, const PixelStatistics& statistics) {
  return (pixels - per_channel(statistics.mean, pixels)) / per_channel(statistics.std, pixels);
}

Tensor resize_pixels(const Tensor& pixels, int64_t side) {
  return at::upsample_bicubic2d(pixels, {side, side}, /*align_corners=*/false);
}

}  // namespace gear::models
