#include "gear/ops/few_row_linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "gear/core/error.h"

// R rows, K inputs, N outputs

namespace gear::ops {
namespace {

constexpr std::array<WeightFormat, 3> kFormats = {WeightFormat::kFloat32, WeightFormat::kBfloat16,
                                                  WeightFormat::kInt8};

Tensor random(at::IntArrayRef sizes, uint64_t seed) {
  at::manual_seed(seed);
  return at::randn(sizes);
}

Tensor product(const Tensor& x, const StoredWeight& weight) {
  auto out = at::empty({x.size(0), weight.outputs});
  few_row_linear(x, weight, out);
  return out;
}

/// By the definition in float64, of the weight that the format stands for.
Tensor exact_product(const Tensor& x, const Tensor& weight, WeightFormat format) {
  return at::linear(x.to(at::kDouble), rounded_weight(weight, format).to(at::kDouble));
}

/// Largest error relative to the largest value.
double error_of(const Tensor& actual, const Tensor& expected) {
  const auto error = (actual.to(at::kDouble) - expected).abs().max();
  return (error / expected.abs().max()).item<double>();
}

TEST(FewRowLinear, EqualsTheDenseProductForAllSizesAndFormats) {
  // Panels of 16 outputs, pairs of them, pairs of inputs and blocks of 6 rows, none of them full.
  for (const auto& [outputs, inputs] :
       {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {16, 32}, {33, 31}, {96, 130}}) {
    const auto weight = random({outputs, inputs}, 1);
    for (const auto format : kFormats) {
      const auto stored = store_weight(weight, format);
      for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 13, 40}) {
        const auto x = random({rows, inputs}, 2);
        // Sums of up to 130 products in float32.
        EXPECT_LE(error_of(product(x, stored), exact_product(x, weight, format)), 2e-6)
            << outputs << " " << inputs << " " << rows << " " << static_cast<int>(format);
      }
    }
  }
}

TEST(FewRowLinear, AddsToWhatIsThere) {
  const auto x = random({3, 40}, 1), weight = random({50, 40}, 2), before = random({3, 50}, 3);
  auto out = before.clone();
  few_row_linear(x, store_weight(weight, WeightFormat::kFloat32), out, Into::kAdd);
  EXPECT_LE(error_of(out, exact_product(x, weight, WeightFormat::kFloat32) + before), 2e-6);
}

TEST(FewRowLinear, GatedPairIsSiluOfOneTimesTheOther) {
  const auto gate = random({70, 33}, 1), up = random({70, 33}, 2);
  for (const auto format : kFormats) {
    for (const int64_t rows : {1, 2, 7}) {
      const auto x = random({rows, 33}, 3);
      auto out = at::empty({rows, 70});
      few_row_swiglu(x, store_weight(gate, format), store_weight(up, format), out);
      const auto expected = at::silu(exact_product(x, gate, format)) * exact_product(x, up, format);
      EXPECT_LE(error_of(out, expected), 3e-6) << rows << " " << static_cast<int>(format);
    }
  }
}

TEST(FewRowLinear, NormalisesByTheRootOfTheMeanSquare) {
  for (const int64_t rows : {1, 5, 40}) {
    const auto x = random({rows, 37}, 1), weight = random({37}, 2);
    auto out = at::empty_like(x);
    few_row_rms_norm(x, weight, 1e-5, out);
    const auto expected = at::rms_norm(x.to(at::kDouble), {37}, weight.to(at::kDouble), 1e-5);
    EXPECT_LE(error_of(out, expected), 1e-6) << rows;
  }
}

TEST(FewRowLinear, ARowHasTheSameBitsAloneAndAmongOthers) {
  const auto x = random({13, 67}, 1);
  const auto weight = random({50, 67}, 2);
  for (const auto format : kFormats) {
    const auto stored = store_weight(weight, format);
    const auto together = product(x, stored);
    for (int64_t r = 0; r < x.size(0); ++r) {
      EXPECT_TRUE(product(x.narrow(0, r, 1), stored).equal(together.narrow(0, r, 1))) << r;
    }
    EXPECT_TRUE(product(x.narrow(0, 3, 2), stored).equal(together.narrow(0, 3, 2)));
  }
}

TEST(FewRowLinear, ThreadsDoNotChangeABit) {
  const int threads = at::get_num_threads();
  const auto x = random({6, 64}, 1);
  const auto stored = store_weight(random({200, 64}, 2), WeightFormat::kBfloat16);
  at::set_num_threads(1);
  const auto alone = product(x, stored);
  at::set_num_threads(3);
  EXPECT_TRUE(product(x, stored).equal(alone));
  at::set_num_threads(threads);
}

TEST(FewRowLinear, LaidOutWeightsGiveTheSameBits) {
  const auto x = random({3, 37}, 1);
  std::vector<StoredWeight> weights;
  for (const auto format : kFormats) weights.push_back(store_weight(random({45, 37}, 2), format));
  std::vector<Tensor> before;
  for (const StoredWeight& weight : weights) before.push_back(product(x, weight));
  lay_out({&weights[0], &weights[1], &weights[2]});
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(product(x, weights[i]).equal(before[i])) << i;
    EXPECT_TRUE(weights[i].values.is_alias_of(weights[0].values)) << i;
  }
}

TEST(WeightFormats, Float32IsExactAndBfloat16TheNearest) {
  const auto weight = random({9, 11}, 1);
  EXPECT_TRUE(rounded_weight(weight, WeightFormat::kFloat32).equal(weight));
  EXPECT_TRUE(rounded_weight(weight, WeightFormat::kBfloat16)
                  .equal(weight.to(at::kBFloat16).to(at::kFloat)));
}

TEST(WeightFormats, Int8IsWithinHalfAStepOfEveryWeightAndKeepsTheLargest) {
  auto weight = random({9, 11}, 1);
  weight.select(0, 4).zero_();
  weight.select(0, 5).mul_(1e-6);  // each output has steps of its own
  const auto rounded = rounded_weight(weight, WeightFormat::kInt8);
  const auto largest = weight.abs().amax(1, /*keepdim=*/true);
  EXPECT_TRUE(((rounded - weight).abs() <= 0.5001 / 127 * largest).all().item<bool>());
  EXPECT_TRUE(rounded.abs().amax(1, /*keepdim=*/true).allclose(largest, 1e-6, 0.0));
  EXPECT_TRUE(rounded.select(0, 4).equal(weight.select(0, 4)));
}

TEST(WeightFormats, BytesAreThoseThatAProductReads) {
  const auto weight = random({9, 11}, 1);
  EXPECT_EQ(store_weight(weight, WeightFormat::kFloat32).bytes(), 9 * 11 * 4);
  EXPECT_EQ(store_weight(weight, WeightFormat::kBfloat16).bytes(), 9 * 11 * 2);
  EXPECT_EQ(store_weight(weight, WeightFormat::kInt8).bytes(), 9 * 11 + 9 * 4);
}

TEST(WeightFormats, Int8RefusesWeightsThatAreNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto weight = random({9, 11}, 1);
    weight[3][4] = bad;
    try {
      store_weight(weight, WeightFormat::kInt8);
      FAIL() << "accepted " << bad;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("a weight is not a finite number"));
    }
  }
}

TEST(FewRowLinear, WrongSizesAndTypesAreRefused) {
  const auto stored = store_weight(random({4, 6}, 1), WeightFormat::kFloat32);
  const auto x = random({2, 6}, 2);
  auto out = at::empty({2, 4});
  EXPECT_THROW(few_row_linear(random({2, 5}, 2), stored, out), c10::Error);
  EXPECT_THROW(few_row_linear(x, stored, at::empty({2, 5})), c10::Error);
  EXPECT_THROW(few_row_linear(x.to(at::kDouble), stored, out), c10::Error);
  EXPECT_THROW(few_row_linear(at::empty({6, 2}).t(), stored, out), c10::Error);
  EXPECT_THROW(store_weight(random({4, 6}, 1).to(at::kDouble), WeightFormat::kInt8), c10::Error);
  const auto other = store_weight(random({4, 6}, 1), WeightFormat::kInt8);
  EXPECT_THROW(few_row_swiglu(x, stored, other, out), c10::Error);
}

}  // namespace
}  // namespace gear::ops
