#include "gear/ops/group_norm.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include <string>
#include <vector>

#include "core/numeric_gradient.h"
#include "ops/bytes_kept.h"

// B images, C channels in G groups

namespace gear::ops {
namespace {

constexpr int64_t kChannels = 48;
constexpr int64_t kGroups = 16;  // of 3 channels: no multiple of any vector length

struct Problem {
  Tensor x;       // [B, C, H, W]
  Tensor weight;  // [C]
  Tensor bias;    // [C]
  Tensor grad;    // [B, C, H, W], the gradient of the result
  GroupNormOptions options;
};

Problem make_problem(at::IntArrayRef sizes, Activation activation, int64_t groups = kGroups) {
  torch::manual_seed(7);
  return {.x = at::randn(sizes) * 3.0 + 1.0,
          .weight = at::randn({sizes[1]}) + 1.0,
          .bias = at::randn({sizes[1]}),
          .grad = at::randn(sizes),
          .options = {.groups = groups, .eps = 1e-6, .activation = activation}};
}

/// Result and gradients, as plain tensors.
struct Outcome {
  Tensor y, x, weight, bias;

  std::vector<std::pair<std::string, Tensor>> named() const {
    return {{"y", y}, {"gradient of x", x}, {"of weight", weight}, {"of bias", bias}};
  }
};

Tensor leaf(const Tensor& value) {
  return value.defined() ? value.detach().clone().requires_grad_(true) : value;
}

template <class Operation>
Outcome run(const Problem& problem, const Operation& operation) {
  const auto x = leaf(problem.x), weight = leaf(problem.weight), bias = leaf(problem.bias);
  const auto y = operation(x, weight, bias, problem.options);
  y.backward(problem.grad);
  const auto gradient_of = [](const Tensor& t) { return t.defined() ? t.grad() : Tensor(); };
  return {y.detach(), x.grad(), gradient_of(weight), gradient_of(bias)};
}

Outcome run(const Problem& problem) { return run(problem, group_norm); }

/// The truth: LibTorch's normalisation in float64 and contiguous, where it is accurate. Weight and
/// bias come after it, since it fails on a bias without a weight.
Outcome truth(const Problem& problem) {
  const auto exact = [](const Tensor& t) {
    return t.defined() ? t.to(at::kDouble).contiguous() : t;
  };
  return run({.x = exact(problem.x),
              .weight = exact(problem.weight),
              .bias = exact(problem.bias),
              .grad = exact(problem.grad),
              .options = problem.options},
             [](const Tensor& x, const Tensor& weight, const Tensor& bias,
                const GroupNormOptions& options) {
               const auto by_channel = [](const Tensor& t) { return t.view({1, -1, 1, 1}); };
               auto y = at::group_norm(x, options.groups, {}, {}, options.eps);
               if (weight.defined()) y = y * by_channel(weight);
               if (bias.defined()) y = y + by_channel(bias);
               return options.activation == Activation::kSilu ? at::silu(y) : y;
             });
}

/// Largest difference, in units of the largest value of `expected`.
double relative_error(const Tensor& found, const Tensor& expected) {
  const auto exact = expected.to(at::kDouble);
  return ((found.to(at::kDouble) - exact).abs().max() / exact.abs().max()).item<double>();
}

void expect_close(const Outcome& found, const Outcome& expected, double bound) {
  const auto all = found.named(), wanted = expected.named();
  for (size_t i = 0; i < all.size(); ++i) {
    const auto& [name, tensor] = all[i];
    ASSERT_EQ(tensor.defined(), wanted[i].second.defined()) << name;
    if (!tensor.defined()) continue;
    EXPECT_LT(relative_error(tensor, wanted[i].second), bound) << name;
  }
}

Problem in_format(Problem problem, at::MemoryFormat format) {
  problem.x = problem.x.contiguous(format);
  problem.grad = problem.grad.contiguous(format);
  return problem;
}

constexpr auto kFirst = at::MemoryFormat::Contiguous;
constexpr auto kLast = at::MemoryFormat::ChannelsLast;

class GroupNormWith : public testing::TestWithParam<Activation> {};
INSTANTIATE_TEST_SUITE_P(Activations, GroupNormWith,
                         testing::Values(Activation::kNone, Activation::kSilu),
                         [](const auto& info) {
                           return info.param == Activation::kNone ? "Alone" : "WithSilu";
                         });

TEST_P(GroupNormWith, Float32IsAsAccurateAsItsType) {
  // Sizes with one pixel, with a part of a block, and with many blocks of pixels.
  for (const auto& sizes :
       {std::vector<int64_t>{3, kChannels, 1, 1}, {2, kChannels, 5, 7}, {2, kChannels, 61, 67}}) {
    for (const auto format : {kFirst, kLast}) {
      const auto problem = in_format(make_problem(sizes, GetParam()), format);
      const auto found = run(problem);
      expect_close(found, truth(problem), 2e-6);
      EXPECT_TRUE(found.y.is_contiguous(format));
      EXPECT_TRUE(found.x.is_contiguous(format));
    }
  }
}

TEST_P(GroupNormWith, GradientMatchesFiniteDifferencesInFloat64) {
  for (const auto format : {kFirst, kLast}) {
    const auto problem = make_problem({2, 6, 3, 2}, GetParam(), /*groups=*/2);
    const auto x = problem.x.to(at::kDouble).requires_grad_(true);
    const auto weight = problem.weight.to(at::kDouble).requires_grad_(true);
    const auto bias = problem.bias.to(at::kDouble).requires_grad_(true);
    const auto value = [&] {
      return (group_norm(x.contiguous(format), weight, bias, problem.options) * problem.grad).sum();
    };
    for (const auto& variable : {x, weight, bias}) {
      EXPECT_LT(gradient_error(value, variable), 1e-7);
    }
  }
}

TEST_P(GroupNormWith, BothMemoryFormatsGiveTheSameNumbers) {
  const auto problem = make_problem({2, kChannels, 61, 67}, GetParam());
  const auto first = run(in_format(problem, kFirst)), last = run(in_format(problem, kLast));
  // The sums differ in the order of float64 additions only, which a rounded mean rarely shows.
  expect_close(last, first, 1.2e-7);
}

TEST_P(GroupNormWith, Bfloat16IsTheRoundedFloat32Result) {
  for (const auto format : {kFirst, kLast}) {
    auto problem = in_format(make_problem({2, kChannels, 61, 67}, GetParam()), format);
    problem.x = problem.x.to(at::kBFloat16);
    problem.grad = problem.grad.to(at::kBFloat16);
    const auto found = run(problem);  // with float32 weights, as under autocast
    EXPECT_EQ(found.y.scalar_type(), at::kBFloat16);
    EXPECT_EQ(found.weight.scalar_type(), at::kFloat);
    problem.x = problem.x.to(at::kFloat);
    problem.grad = problem.grad.to(at::kFloat);
    const auto wide = run(problem);
    EXPECT_TRUE(found.y.equal(wide.y.to(at::kBFloat16)));
    EXPECT_TRUE(found.x.equal(wide.x.to(at::kBFloat16)));
    EXPECT_TRUE(found.weight.equal(wide.weight));
    EXPECT_TRUE(found.bias.equal(wide.bias));
  }
}

TEST_P(GroupNormWith, WeightAndBiasMayBeMissing) {
  for (const bool has_weight : {false, true}) {
    auto problem = make_problem({2, kChannels, 5, 7}, GetParam());
    (has_weight ? problem.bias : problem.weight) = Tensor();
    expect_close(run(problem), truth(problem), 2e-6);
  }
}

TEST_P(GroupNormWith, AMeanFarAboveTheDeviationCostsNoAccuracy) {
  auto problem = make_problem({2, kChannels, 61, 67}, GetParam());
  problem.x = problem.x * 0.3 + 1000.0;
  for (const auto format : {kFirst, kLast}) {
    const auto given = in_format(problem, format);
    expect_close(run(given), truth(given), 2e-6);
  }
}

TEST(GroupNorm, MomentsAreBetterThanTheMeanOfSquaresMinusTheSquareOfTheMean) {
  const auto options = GroupNormOptions{.groups = kGroups, .eps = 1e-6};
  const auto x = make_problem({2, kChannels, 61, 67}, Activation::kNone).x * 0.3 + 1000.0;
  const auto groups = x.view({2, kGroups, -1});
  const auto variance = groups.square().mean(2, true) - groups.mean(2, true).square();
  const auto naive = (groups - groups.mean(2, true)) / (variance + options.eps).sqrt();
  const auto exact = at::group_norm(x.to(at::kDouble), kGroups, {}, {}, options.eps);
  EXPECT_GT(relative_error(naive.view_as(x), exact), 1e-2);
  EXPECT_LT(relative_error(group_norm(x.contiguous(kLast), {}, {}, options), exact), 2e-6);
}

TEST(GroupNorm, AConstantGroupGivesTheBias) {
  auto problem = make_problem({1, kChannels, 4, 4}, Activation::kNone);
  const auto x = at::full({1, kChannels, 4, 4}, 12345.678);
  const auto y = group_norm(x, problem.weight, problem.bias, problem.options);
  EXPECT_TRUE(y.equal(problem.bias.view({1, kChannels, 1, 1}).expand_as(y)));
}

TEST_P(GroupNormWith, SaturatedActivationsHaveFiniteGradients) {
  auto problem = make_problem({2, kChannels, 5, 7}, GetParam());
  problem.weight = problem.weight * 1e4;
  expect_close(run(problem), truth(problem), 2e-6);
}

TEST_P(GroupNormWith, ResultDoesNotDependOnTheNumberOfThreads) {
  const int threads = at::get_num_threads();
  for (const auto format : {kFirst, kLast}) {
    const auto problem = in_format(make_problem({3, kChannels, 61, 67}, GetParam()), format);
    at::set_num_threads(1);
    const auto one = run(problem).named();
    at::set_num_threads(3);
    const auto three = run(problem).named();
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_TRUE(one[i].second.equal(three[i].second)) << one[i].first;
    }
  }
  at::set_num_threads(threads);
}

TEST_P(GroupNormWith, CudaAgreesWithTheTruth) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  for (const auto format : {kFirst, kLast}) {
    const auto problem = in_format(make_problem({2, kChannels, 61, 67}, GetParam()), format);
    const auto on_gpu = [](const Tensor& t) { return t.to(at::kCUDA); };
    const auto found = run({.x = on_gpu(problem.x),
                            .weight = on_gpu(problem.weight),
                            .bias = on_gpu(problem.bias),
                            .grad = on_gpu(problem.grad),
                            .options = problem.options});
    EXPECT_TRUE(found.y.is_contiguous(format));
    expect_close({found.y.cpu(), found.x.cpu(), found.weight.cpu(), found.bias.cpu()},
                 truth(problem), 2e-6);
  }
}

TEST(GroupNorm, TakesViewsThatLieInNoFormat) {
  auto problem = make_problem({2, kChannels, 10, 7}, Activation::kSilu);
  problem.x = problem.x.slice(2, 0, 10, 2).transpose(2, 3);
  problem.grad = problem.grad.slice(2, 1, 10, 2).transpose(2, 3);
  expect_close(run(problem), truth(problem), 2e-6);
}

TEST(GroupNorm, KeepsNoMapBesideItsInputAndItsResult) {
  const auto problem = make_problem({2, kChannels, 256, 256}, Activation::kSilu);
  const auto x = leaf(problem.x);
  const size_t map = x.nbytes();
  const size_t kept =
      bytes_kept([&] { return group_norm(x, problem.weight, problem.bias, problem.options); });
  EXPECT_LT(kept, map + map / 10);  // the result
  const size_t unfused = bytes_kept([&] {
    return at::silu(at::group_norm(x, kGroups, problem.weight, problem.bias, problem.options.eps));
  });
  if (unfused == 0) GTEST_SKIP() << "this allocator (a sanitizer's) does not tell its use";
  EXPECT_GE(unfused, 2 * map);  // the result and the normalised map, which silu keeps
}

TEST(GroupNorm, RefusesASecondDerivative) {
  const auto problem = make_problem({2, kChannels, 5, 7}, Activation::kSilu);
  const auto x = leaf(problem.x);
  const auto y = group_norm(x, problem.weight, problem.bias, problem.options).sum();
  EXPECT_THROW(torch::autograd::grad({y}, {x}, {}, std::nullopt, /*create_graph=*/true),
               c10::Error);
}

TEST(GroupNorm, RefusesWhatDoesNotFit) {
  const auto problem = make_problem({2, kChannels, 5, 7}, Activation::kNone);
  const auto& [x, weight, bias, grad, options] = problem;
  EXPECT_THROW(group_norm(x[0], weight, bias, options), c10::Error);
  EXPECT_THROW(group_norm(x.to(at::kHalf), weight, bias, options), c10::Error);
  EXPECT_THROW(group_norm(x, weight.slice(0, 1), bias, options), c10::Error);
  EXPECT_THROW(group_norm(x, weight, bias.slice(0, 1), options), c10::Error);
  EXPECT_THROW(group_norm(x, weight, bias, {.groups = 7, .eps = 1e-6}), c10::Error);
  EXPECT_THROW(group_norm(x, weight, bias, {.groups = kGroups, .eps = 0.0}), c10::Error);
  EXPECT_THROW(group_norm(x.slice(0, 0, 0), weight, bias, options), c10::Error);
}

}  // namespace
}  // namespace gear::ops
