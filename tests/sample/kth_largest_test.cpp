#include "sample/kth_largest.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <gtest/gtest.h>

#include <limits>

// B rows, K values

namespace gear::sample {
namespace {

Tensor by_sorting(const Tensor& values, int64_t k) {
  return std::get<0>(at::topk(values, k, -1)).narrow(-1, k - 1, 1);
}

TEST(KthLargest, IsTheOneThatSortingFinds) {
  at::manual_seed(1);
  for (const int64_t count : {1, 7, 3000}) {
    // Some rows with many equal values, one of very different sizes.
    const auto values = at::cat({at::randn({2, count}), (2 * at::randn({2, count})).round(),
                                 (30 * at::randn({1, count})).exp()});
    for (const int64_t k : {int64_t{1}, (count + 1) / 2, count}) {
      EXPECT_TRUE(kth_largest(values, k).equal(by_sorting(values, k))) << count << " " << k;
    }
  }
}

TEST(KthLargest, ZerosOfBothSignsAndInfinitiesHaveTheirPlaces) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto values =
      at::tensor({0.0F, -kInfinity, -1.0F, kInfinity, -0.0F, -kInfinity, 1e-45F}).unsqueeze(0);
  for (int64_t k = 1; k <= 7; ++k) {
    EXPECT_EQ(kth_largest(values, k).item<float>(), by_sorting(values, k).item<float>()) << k;
  }
}

TEST(KthLargest, NanCountsAsTheLargest) {
  const auto values =
      at::tensor({0.0F, std::numeric_limits<float>::quiet_NaN(), 3.0F}).unsqueeze(0);
  EXPECT_TRUE(kth_largest(values, 1).isnan().item<bool>());
  EXPECT_EQ(kth_largest(values, 2).item<float>(), 3.0F);
}

TEST(KthLargest, RowsNeedNotBeContiguous) {
  at::manual_seed(2);
  const auto values = at::randn({50, 4}).t();
  EXPECT_TRUE(kth_largest(values, 9).equal(by_sorting(values, 9)));
}

}  // namespace
}  // namespace gear::sample
