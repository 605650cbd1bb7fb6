#include "ops/cpu/vector_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace gear::ops::cpu {
namespace {

GEAR_VECTOR_CLONES void exp_of(const float* x, float* y, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = vector_exp(x[i]);
}

std::vector<float> exp_of(const std::vector<float>& x) {
  std::vector<float> y(x.size());
  exp_of(x.data(), y.data(), static_cast<int64_t>(x.size()));
  return y;
}

/// |found - exact| in units of the last place of a float of that size.
double ulps(float found, double exact) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  return std::abs(found - exact) / std::ldexp(1.0, exponent - std::numeric_limits<float>::digits);
}

TEST(VectorMath, ExponentialIsWithinTwoUnitsOfTheStandardOneAllOverItsRange) {
  std::vector<float> x;
  for (float at = -87.0f; at <= 87.0f; at += 1.37e-4f) x.push_back(at);
  for (float at = 1.0f; at > 1e-38f; at *= 0.7f) x.insert(x.end(), {at, -at});
  const auto y = exp_of(x);
  double worst = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, ulps(y[i], std::exp(static_cast<double>(x[i]))));
    // The same formula outside of a loop, compiled for the baseline: without fused multiply-add.
    worst = std::max(worst, ulps(vector_exp(x[i]), std::exp(static_cast<double>(x[i]))));
  }
  EXPECT_LT(worst, 2.0);
}

TEST(VectorMath, ExponentialSaturatesBeyond87AndKeepsNan) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto y = exp_of({0.0f, 87.0f, 88.0f, kInfinity, -87.0f, -88.0f, -kInfinity,
                         std::numeric_limits<float>::quiet_NaN()});
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_EQ(y[2], y[1]);
  EXPECT_EQ(y[3], y[1]);
  EXPECT_EQ(y[5], y[4]);
  EXPECT_EQ(y[6], y[4]);
  EXPECT_GT(y[4], std::numeric_limits<float>::min());
  EXPECT_TRUE(std::isnan(y[7]));
}

TEST(VectorMath, NarrowsToBfloat16AsLibTorchDoes) {
  std::vector<float> values = {0.0f,        -0.0f,  1.00390625f,
                               1.01171875f,  // both halfway
                               3.4e38f,     1e-40f, std::numeric_limits<float>::infinity()};
  for (float at = 1e-30f; at < 1e30f; at *= 1.0173f) values.insert(values.end(), {at, -at});
  for (const float value : values) {
    EXPECT_EQ(narrow<c10::BFloat16>(value).x, c10::BFloat16(value).x) << value;
    const c10::BFloat16 rounded(value);
    EXPECT_EQ(widen(rounded), static_cast<float>(rounded)) << value;
  }
  EXPECT_TRUE(std::isnan(widen(narrow<c10::BFloat16>(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace gear::ops::cpu
