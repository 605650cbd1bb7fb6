#include "gear/nn/rotary.h"

#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <cmath>

// B batch, n positions, H heads, d head width

namespace gear::nn {
namespace {

constexpr RotaryGrid kGrid = {.prefix = 1, .side = 3, .head_dim = 8, .base = 100.0};

TEST(Rotary, PrefixQueriesAndKeysAreZero) {
  const auto table = rotary_table(kGrid);
  const auto rotated = apply_rotary(at::randn({2, 10, 3, 8}), table);
  EXPECT_EQ(rotated.select(1, 0).abs().max().item<double>(), 0.0);
  EXPECT_GT(rotated.select(1, 1).abs().max().item<double>(), 0.0);
}

TEST(Rotary, IdentityPrefixIsUnchanged) {
  auto grid = kGrid;
  grid.zero_prefix = false;
  const auto x = at::randn({2, 10, 3, 8});
  const auto rotated = apply_rotary(x, rotary_table(grid));
  EXPECT_TRUE(rotated.select(1, 0).equal(x.select(1, 0)));
}

TEST(Rotary, TurnsAdjacentPairsByRowThenColumn) {
  // Cell (row 2, column 1) is position 1 + 2 * 3 + 1; theta = 100^(-2j/4) = 1, 0.1.
  const auto x = at::randn({1, 10, 1, 8});
  const auto rotated = apply_rotary(x, rotary_table(kGrid));
  const double angles[] = {2.0, 0.2, 1.0, 0.1};
  for (int64_t p = 0; p < 4; ++p) {
    const double a = x[0][8][0][2 * p].item<double>(), b = x[0][8][0][2 * p + 1].item<double>();
    const double c = std::cos(angles[p]), s = std::sin(angles[p]);
    EXPECT_NEAR(rotated[0][8][0][2 * p].item<double>(), a * c - b * s, 1e-6);
    EXPECT_NEAR(rotated[0][8][0][2 * p + 1].item<double>(), b * c + a * s, 1e-6);
  }
}

}  // namespace
}  // namespace gear::nn
