#include "gear/nn/rotary.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>

namespace gear::nn {

Tensor rotary_table(const RotaryGrid& grid) {
  TORCH_CHECK(grid.head_dim % 4 == 0, "rotary_table: head_dim must be a multiple of 4, got ",
              grid.head_dim);
  const int64_t half = grid.head_dim / 2;
  const auto exponents = at::arange(0, half, 2, at::kFloat) / static_cast<double>(half);
  const auto theta = at::pow(at::Scalar(grid.base), exponents).reciprocal();  // [d / 4]
  const auto cells = at::arange(grid.side, at::kFloat);
  const auto angles = cells.unsqueeze(1) * theta;  // [side, d / 4]
  const auto size = {grid.side, grid.side, half / 2};
  const auto by_row = angles.unsqueeze(1).expand(size);
  const auto by_column = angles.unsqueeze(0).expand(size);
  const auto grid_angles = at::cat({by_row, by_column}, -1).flatten(0, 1);  // [L, d / 2]

  auto prefix = at::zeros({grid.prefix, half, 2});
  if (!grid.zero_prefix) prefix.select(-1, 0).fill_(1.0);
  return at::cat({prefix, at::stack({grid_angles.cos(), grid_angles.sin()}, -1)});
}

Tensor apply_rotary(const Tensor& x, const Tensor& table) {
  // (a + ib)(cos + i sin) = (a cos - b sin) + i(b cos + a sin): one kernel, and only the table is
  // kept for the backward pass.
  const auto pairs =
      at::view_as_complex(x.to(at::kFloat).unflatten(-1, {-1, 2}));  // [B, n, H, d/2]
  const auto turns = at::view_as_complex(table).unsqueeze(1);        // [n, 1, d/2]
  return at::view_as_real(pairs * turns).flatten(-2).to(x.scalar_type());
}

}  // namespace gear::nn
