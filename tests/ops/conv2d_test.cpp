#include "gear/ops/conv2d.h"

#include <ATen/Parallel.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

// B images, C channels in, K channels out, k taps per side

namespace gear::ops {
namespace {

struct Problem {
  Tensor x;       // [B, C, H, W]
  Tensor weight;  // [K, C, k, k]
  Tensor bias;    // [K] or undefined
  Tensor grad;    // [B, K, H', W']
  int64_t padding;
};

struct Sizes {
  int64_t images, in, out, height, width;
  int64_t taps = 3, padding = 1;
};

Problem make_problem(const Sizes& s, bool with_bias = true) {
  torch::manual_seed(3);
  const auto map = [&](int64_t channels, int64_t growth) {
    return at::randn({s.images, channels, s.height + growth, s.width + growth})
        .contiguous(at::MemoryFormat::ChannelsLast);
  };
  const auto spread = at::rand({s.out, s.in, s.taps, s.taps}) - 0.5;
  return {.x = map(s.in, 0),
          .weight = spread / std::sqrt(2.0 * static_cast<double>(s.in)),
          .bias = with_bias ? at::randn({s.out}) : Tensor(),
          .grad = map(s.out, 2 * s.padding - s.taps + 1),
          .padding = s.padding};
}

using Outcome = std::vector<std::pair<std::string, Tensor>>;

template <class Operation>
Outcome run(const Problem& problem, const Operation& operation) {
  const auto leaf = [](const Tensor& t) {
    return t.defined() ? t.detach().clone().requires_grad_(true) : t;
  };
  const auto x = leaf(problem.x), weight = leaf(problem.weight), bias = leaf(problem.bias);
  const auto y = operation(x, weight, bias, problem.padding);
  y.backward(problem.grad);
  Outcome found = {
      {"y", y.detach()}, {"gradient of x", x.grad()}, {"gradient of weight", weight.grad()}};
  if (bias.defined()) found.emplace_back("gradient of bias", bias.grad());
  return found;
}

Outcome winograd(const Problem& problem) {
  return run(problem,
             [](const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding) {
               return conv2d(x, weight, bias, padding, ConvMethod::kWinograd);
             });
}

Outcome direct(const Problem& problem) {
  return run(problem,
             [](const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding) {
               const auto optional = bias.defined() ? std::optional(bias) : std::nullopt;
               return at::conv2d(x, weight, optional, 1, padding);
             });
}

/// The truth: the library's convolution in float64.
Outcome truth(const Problem& problem) {
  const auto exact = [](const Tensor& t) {
    return t.defined() ? t.to(at::kDouble).contiguous() : t;
  };
  return direct({exact(problem.x), exact(problem.weight), exact(problem.bias), exact(problem.grad),
                 problem.padding});
}

/// Root of the mean square difference, in units of that of `expected`.
double relative_error(const Tensor& found, const Tensor& expected) {
  const auto rms = [](const Tensor& t) { return t.square().mean().sqrt().item<double>(); };
  return rms(found.to(at::kDouble) - expected) / rms(expected);
}

/// Widths of the tokenizer, of VGG and of the discriminator; few and many tiles; maps that no whole
/// tiles cover.
const std::vector<Sizes> kSizes = {
    {2, 64, 64, 32, 32},      {1, 128, 32, 72, 49},      {3, 32, 96, 17, 30},
    {4, 256, 128, 9, 16},     {2, 96, 160, 3, 25},       {3, 32, 32, 1, 70},
    {2, 192, 224, 41, 40},    {5, 64, 96, 11, 10, 3, 0}, {2, 32, 64, 10, 12, 3, 2},
    {4, 64, 128, 8, 8, 4, 1}, {3, 96, 32, 31, 40, 4, 1}, {2, 128, 64, 50, 65, 4, 2}};

class WinogradConv2d : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_winograd()) GTEST_SKIP() << "no vectors of eight floats on this processor";
  }
};

TEST_F(WinogradConv2d, AgreesWithTheTruthInFloat64) {
  // Rounding by hand: 36 products of magnitude 1 to 8 of the result, each off by 6e-8.
  constexpr double kBound = 3e-6;
  for (const Sizes& sizes : kSizes) {
    for (const bool with_bias : {true, false}) {
      const auto problem = make_problem(sizes, with_bias);
      ASSERT_TRUE(winograd_fits(problem.x, problem.weight));
      const auto found = winograd(problem), expected = truth(problem);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_LT(relative_error(found[i].second, expected[i].second), kBound)
            << found[i].first << " at " << problem.x.sizes();
      }
    }
  }
}

TEST_F(WinogradConv2d, RoundsAtMostFiveTimesAsMuchAsTheDirectMethod) {
  const auto problem = make_problem({2, 128, 128, 32, 32});
  const auto expected = truth(problem), plain = direct(problem), found = winograd(problem);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT(relative_error(found[i].second, expected[i].second),
              5 * relative_error(plain[i].second, expected[i].second) + 1e-7)
        << found[i].first;
  }
}

TEST_F(WinogradConv2d, GivesTheSameBitsOnAnyThreads) {
  const auto problem = make_problem({3, 64, 96, 30, 22});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = winograd(problem);
  at::set_num_threads(3);
  const auto together = winograd(problem);
  at::set_num_threads(threads);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(alone[i].second.equal(together[i].second)) << alone[i].first;
  }
}

// So that ranks with some pictures each find what one process finds for all, to the bit.
TEST_F(WinogradConv2d, OfAPictureDoesNotDependOnThoseBesideIt) {
  for (const Sizes& sizes : {Sizes{9, 64, 64, 20, 28}, Sizes{5, 128, 160, 17, 16}}) {
    const auto problem = make_problem(sizes);
    const auto all = winograd(problem);
    for (const int64_t image : {int64_t{0}, sizes.images - 1}) {
      auto alone = problem;
      alone.x = problem.x.narrow(0, image, 1);
      alone.grad = problem.grad.narrow(0, image, 1);
      const auto found = winograd(alone);
      for (size_t i = 0; i < 2; ++i) {  // y and the gradient of x
        EXPECT_TRUE(found[i].second.equal(all[i].second.narrow(0, image, 1))) << found[i].first;
      }
    }
  }
}

TEST_F(WinogradConv2d, ResultsAreChannelsLast) {
  const auto problem = make_problem({2, 32, 64, 16, 16});
  const auto y = conv2d(problem.x, problem.weight, problem.bias, 1, ConvMethod::kWinograd);
  EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(DirectConv2d, IsTheConvolutionOfTheLibrary) {
  const auto problem = make_problem({2, 32, 64, 16, 16});
  const auto y = conv2d(problem.x, problem.weight, problem.bias, 1, ConvMethod::kDirect);
  EXPECT_TRUE(y.equal(at::conv2d(problem.x, problem.weight, problem.bias, 1, 1)));
}

TEST(DirectConv2d, IsTakenWhereWinogradDoesNotFit) {
  const auto fits = [](const Sizes& sizes) {
    const auto problem = make_problem(sizes);
    return winograd_fits(problem.x, problem.weight);
  };
  EXPECT_FALSE(fits({2, 3, 64, 32, 32})) << "three channels";
  EXPECT_FALSE(fits({2, 64, 3, 32, 32})) << "three channels";
  EXPECT_FALSE(fits({64, 64, 64, 7, 8})) << "few pixels";
  EXPECT_FALSE(fits({2, 64, 64, 32, 32, 1, 0})) << "one tap";
  auto problem = make_problem({2, 64, 64, 32, 32});
  EXPECT_FALSE(winograd_fits(problem.x.contiguous(), problem.weight)) << "channels first";
  problem.x = problem.x.to(at::kDouble);
  EXPECT_FALSE(winograd_fits(problem.x, problem.weight)) << "float64";
}

TEST_F(WinogradConv2d, IsChosenWhateverTheNumberOfPictures) {
  for (const int64_t side : {4, 7, 8, 16}) {
    const auto whole = make_problem({12, 64, 64, side, side});
    const auto alone = make_problem({1, 64, 64, side, side});
    EXPECT_EQ(winograd_fits(whole.x, whole.weight), winograd_fits(alone.x, alone.weight)) << side;
  }
}

TEST(DirectConv2d, RefusesWhatDoesNotFitTogether) {
  const auto x = at::randn({1, 4, 8, 8});
  const auto with = [&](at::IntArrayRef weight, int64_t padding) {
    return conv2d(x, at::randn(weight), {}, padding, ConvMethod::kDirect);
  };
  EXPECT_THROW(with({4, 3, 3, 3}, 1), c10::Error);
  EXPECT_THROW(with({4, 4, 3, 1}, 1), c10::Error);
  EXPECT_THROW(with({4, 4, 3, 3}, 3), c10::Error);
}

}  // namespace
}  // namespace gear::ops
