#include "gear/sample/grid.h"

#include <ATen/ops/full.h>

namespace gear::sample {

Tensor image_grid(const Tensor& images, int64_t columns, int64_t padding) {
  TORCH_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte && columns > 0,
              "image_grid: needs uint8 [N, 3, H, W] and a column, got ", images.sizes());
  const int64_t count = images.size(0), height = images.size(2), width = images.size(3);
  const int64_t rows = (count + columns - 1) / columns;
  const int64_t row_step = height + padding, column_step = width + padding;
  auto grid = at::full({images.size(1), rows * row_step + padding, columns * column_step + padding},
                       255, images.options());
  for (int64_t i = 0; i < count; ++i) {
    grid.narrow(1, i / columns * row_step + padding, height)
        .narrow(2, i % columns * column_step + padding, width)
        .copy_(images[i]);
  }
  return grid;
}

}  // namespace gear::sample
