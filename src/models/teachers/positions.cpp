#include "gear/models/teachers/positions.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_bicubic2d.h>

#include <cmath>
#include <optional>

// n source grid side, g target grid side, D width

namespace gear::models {
namespace {

int64_t grid_side(const Tensor& pos_embed) {
  const auto cells = pos_embed.size(1) - 1;
  const auto side = std::llround(std::sqrt(static_cast<double>(cells)));
  TORCH_CHECK(side * side == cells, "position table of ", cells, " patches is not square");
  return side;
}

/// Applies `resize` ([1, D, n, n] -> [1, D, g, g]) to the patch rows; the class row stays.
template <class Resize>
Tensor resize_patch_rows(const Tensor& pos_embed, int64_t grid, Resize&& resize) {
  const int64_t side = grid_side(pos_embed);
  if (side == grid) return pos_embed;
  const auto class_row = pos_embed.slice(1, 0, 1);  // [1, 1, D]
  const auto patches = pos_embed.slice(1, 1).transpose(1, 2).unflatten(2, {side, side});
  const auto resized = resize(patches.contiguous(), side);  // [1, D, g, g]
  return at::cat({class_row, resized.flatten(2).transpose(1, 2)}, 1);
}

}  // namespace

Tensor resample_positions(const Tensor& pos_embed, int64_t grid) {
  return resize_patch_rows(pos_embed, grid, [&](const Tensor& patches, int64_t /*side*/) {
    return at::_upsample_bicubic2d_aa(patches, {grid, grid}, /*align_corners=*/false);
  });
}

Tensor interpolate_positions_as_published(const Tensor& pos_embed, int64_t grid,
                                          bool has_registers) {
  if (has_registers) return resample_positions(pos_embed, grid);
  // The offset kept the output size from rounding down; it also shifts the sampled coordinates,
  // and the published features depend on that.
  constexpr double kOffset = 0.1;
  return resize_patch_rows(pos_embed, grid, [&](const Tensor& patches, int64_t side) {
    const double scale = (static_cast<double>(grid) + kOffset) / static_cast<double>(side);
    return at::upsample_bicubic2d(patches, {grid, grid}, /*align_corners=*/false, scale, scale);
  });
}

}  // namespace gear::models
