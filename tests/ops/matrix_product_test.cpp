#include "ops/cpu/matrix_product.h"

#include <gtest/gtest.h>

#include <vector>

#include "ops/cpu/processor.h"

namespace gear::ops::cpu {
namespace {

// Wider vectors than a processor has are made of several, so that the code for AVX-512 can be
// checked on any processor with AVX2.
GEAR_AVX2 void multiply_8(const Product& p) { multiply<8>(p); }
GEAR_AVX2 void multiply_16(const Product& p) { multiply<16>(p); }

/// Small whole numbers: their sums are exact in any order.
std::vector<float> whole_numbers(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = 5;
  for (float& value : values) {
    state = state * 1664525 + 1013904223;
    value = static_cast<float>(state >> 29) - 4.0f;
  }
  return values;
}

struct Sizes {
  int64_t rows, panels, depth;
  bool turned, add;  // turned: the rows of a are its columns in memory
};

/// The result of `code`, and of the definition.
template <int64_t lanes>
void expect_product(void (*code)(const Product&), const Sizes& s) {
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns;
  const int64_t columns = s.panels * kPanel;
  const auto a = whole_numbers(s.rows * s.depth), b = whole_numbers(s.depth * columns);
  const auto start = whole_numbers(s.rows * columns);
  auto found = start;
  const int64_t a_row = s.turned ? 1 : s.depth, a_depth = s.turned ? s.rows : 1;
  code({.rows = s.rows,
        .columns = columns,
        .depth = s.depth,
        .a = a.data(),
        .a_row = a_row,
        .a_depth = a_depth,
        .b = b.data(),
        .b_panel = s.depth * kPanel,
        .b_depth = kPanel,
        .c = found.data(),
        .c_row = columns,
        .add = s.add});
  for (int64_t i = 0; i < s.rows; ++i) {
    for (int64_t k = 0; k < columns; ++k) {
      float sum = s.add ? start[static_cast<size_t>(i * columns + k)] : 0.0f;
      for (int64_t d = 0; d < s.depth; ++d) {
        sum += a[static_cast<size_t>(i * a_row + d * a_depth)] *
               b[static_cast<size_t>((k / kPanel * s.depth + d) * kPanel + k % kPanel)];
      }
      ASSERT_EQ(found[static_cast<size_t>(i * columns + k)], sum)
          << "row " << i << " of " << s.rows << ", column " << k;
    }
  }
}

class MatrixProduct : public testing::TestWithParam<Sizes> {
 protected:
  void SetUp() override {
    if (vectors() == Vectors::kNone) GTEST_SKIP() << "no AVX2 on this processor";
  }
};

TEST_P(MatrixProduct, IsTheSumOfTheProducts) {
  expect_product<8>(multiply_8, GetParam());
  expect_product<16>(multiply_16, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Sizes, MatrixProduct, testing::ValuesIn([] {
                           std::vector<Sizes> sizes;
                           for (int64_t rows = 1; rows <= 40; ++rows) {
                             sizes.push_back({rows, 1, 7, rows % 2 == 0, rows % 3 == 0});
                           }
                           sizes.push_back({96, 3, 64, false, false});
                           sizes.push_back({64, 2, 33, true, true});
                           return sizes;
                         }()));

}  // namespace
}  // namespace gear::ops::cpu
