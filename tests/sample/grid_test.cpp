#include "gear/sample/grid.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <vector>

namespace gear::sample {
namespace {

TEST(ImageGrid, PlacesPicturesRowByRowOnWhite) {
  const auto images = at::arange(5 * 3 * 2 * 4, at::kByte).view({5, 3, 2, 4});
  const auto grid = image_grid(images, /*columns=*/3, /*padding=*/1);
  ASSERT_EQ(grid.sizes(), (std::vector<int64_t>{3, 7, 16}));
  EXPECT_TRUE(grid.narrow(1, 1, 2).narrow(2, 6, 4).equal(images[1]));
  EXPECT_TRUE(grid.narrow(1, 4, 2).narrow(2, 1, 4).equal(images[3]));
  EXPECT_TRUE((grid.narrow(1, 4, 2).narrow(2, 11, 4) == 255).all().item<bool>());  // no sixth one
  EXPECT_TRUE((grid.select(1, 3) == 255).all().item<bool>());
}

TEST(ImageGrid, OnePictureWithoutPaddingIsItself) {
  const auto images = at::zeros({1, 3, 2, 2}, at::kByte);
  EXPECT_TRUE(image_grid(images, 1, 0).equal(images[0]));
}

}  // namespace
}  // namespace gear::sample
