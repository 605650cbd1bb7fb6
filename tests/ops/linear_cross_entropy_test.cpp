#include "gear/ops/linear_cross_entropy.h"

#include <ATen/Parallel.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

// T tokens, C model width, K classes

namespace gear::ops {
namespace {

struct Problem {
  Tensor x, weight, targets;

  /// Several blocks of rows, the last one not full.
  static Problem make(at::ScalarType type, int64_t tokens = 700, int64_t classes = 9000) {
    at::manual_seed(5);
    const auto leaf = [&](at::IntArrayRef sizes) {
      return at::randn(sizes, at::kDouble).to(type).requires_grad_();
    };
    return {.x = leaf({tokens, 24}),
            .weight = leaf({classes, 24}),
            .targets = at::randint(classes, {tokens}, at::kLong)};
  }

  Tensor truth() const { return at::cross_entropy_loss(at::linear(x, weight), targets); }
  std::vector<Tensor> gradients(const Tensor& loss) const {
    return torch::autograd::grad({loss}, {x, weight});
  }
};

void expect_close(const Tensor& actual, const Tensor& expected, double bound) {
  const auto error = (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max();
  EXPECT_LE(error.item<double>(), bound * expected.abs().max().item<double>());
}

void expect_all_close(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected,
                      double bound) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    SCOPED_TRACE(i);
    expect_close(actual[i], expected[i], bound);
  }
}

TEST(LinearCrossEntropy, EqualsTheUnfusedLossAndItsGradientsInFloat64) {
  const auto problem = Problem::make(at::kDouble);
  const auto loss = linear_cross_entropy(problem.x, problem.weight, problem.targets);
  expect_close(loss, problem.truth(), 1e-13);
  expect_all_close(problem.gradients(3 * loss), problem.gradients(3 * problem.truth()), 1e-12);
}

TEST(LinearCrossEntropy, StaysWithinAMillionthOfFloat64InFloat32) {
  const auto exact = Problem::make(at::kDouble);
  const auto problem = Problem::make(at::kFloat);
  const auto loss = linear_cross_entropy(problem.x, problem.weight, problem.targets);
  expect_close(loss, exact.truth(), 1e-6);
  expect_all_close(problem.gradients(loss), exact.gradients(exact.truth()), 2e-6);
}

TEST(LinearCrossEntropy, IgnoredRowsCountNeitherAsLossNorInTheMean) {
  auto problem = Problem::make(at::kDouble);
  problem.targets.slice(0, 5, 300).fill_(-100);
  const auto loss = linear_cross_entropy(problem.x, problem.weight, problem.targets);
  expect_close(loss, problem.truth(), 1e-13);
  const auto found = problem.gradients(loss);
  expect_all_close(found, problem.gradients(problem.truth()), 1e-12);
  EXPECT_EQ(found[0].slice(0, 5, 300).abs().max().item<double>(), 0.0);
}

TEST(LinearCrossEntropy, AnotherIgnoredTargetCanBeChosen) {
  auto problem = Problem::make(at::kDouble, 20, 30);
  problem.targets.fill_(4);
  problem.targets[3] = 7;
  const auto loss =
      linear_cross_entropy(problem.x, problem.weight, problem.targets, {.ignored_target = 4});
  const auto alone = at::cross_entropy_loss(at::linear(problem.x.slice(0, 3, 4), problem.weight),
                                            problem.targets.slice(0, 3, 4));
  expect_close(loss, alone, 1e-13);
}

TEST(LinearCrossEntropy, NothingButIgnoredRowsIsNaNAsTheMeanOfNothing) {
  auto problem = Problem::make(at::kFloat, 6, 30);
  problem.targets.fill_(-100);
  EXPECT_TRUE(
      linear_cross_entropy(problem.x, problem.weight, problem.targets).isnan().item<bool>());
}

TEST(LinearCrossEntropy, OneInputAloneMayNeedAGradient) {
  const auto problem = Problem::make(at::kDouble, 50, 70);
  const auto both = problem.gradients(problem.truth());
  const auto of_x = torch::autograd::grad(
      {linear_cross_entropy(problem.x, problem.weight.detach(), problem.targets)}, {problem.x});
  const auto of_weight = torch::autograd::grad(
      {linear_cross_entropy(problem.x.detach(), problem.weight, problem.targets)},
      {problem.weight});
  expect_close(of_x[0], both[0], 1e-12);
  expect_close(of_weight[0], both[1], 1e-12);
}

TEST(LinearCrossEntropy, TheLossIsTheSameWithoutGradients) {
  const auto problem = Problem::make(at::kFloat);
  const auto with = linear_cross_entropy(problem.x, problem.weight, problem.targets);
  const at::NoGradGuard no_grad;
  const auto without =
      linear_cross_entropy(problem.x.detach(), problem.weight.detach(), problem.targets);
  EXPECT_TRUE(with.equal(without));
}

TEST(LinearCrossEntropy, Bfloat16ProductsStayWithinTheirRounding) {
  const auto problem = Problem::make(at::kFloat);
  const auto loss =
      linear_cross_entropy(problem.x, problem.weight, problem.targets, {.bfloat16_products = true});
  const auto exact = problem.truth();
  // Logits up to 25 are rounded to 8 bits: 2^-9 * 25 = 0.05 each, and the mean of 700 is closer.
  EXPECT_NEAR(loss.item<double>(), exact.item<double>(), 0.01);
  expect_all_close(problem.gradients(loss), problem.gradients(exact), 0.02);
}

TEST(LinearCrossEntropy, Bfloat16InputGetsABfloat16Gradient) {
  auto problem = Problem::make(at::kFloat, 40, 60);
  const auto x = problem.x.detach().to(at::kBFloat16).requires_grad_();
  const auto loss =
      linear_cross_entropy(x, problem.weight, problem.targets, {.bfloat16_products = true});
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_EQ(torch::autograd::grad({loss}, {x})[0].scalar_type(), at::kBFloat16);
}

TEST(LinearCrossEntropy, LargeLogitsDoNotOverflow) {
  auto problem = Problem::make(at::kFloat, 30, 40);
  const auto loss = linear_cross_entropy(problem.x * 1e3, problem.weight * 1e3, problem.targets);
  EXPECT_TRUE(loss.isfinite().item<bool>());
  for (const auto& gradient : problem.gradients(loss)) {
    EXPECT_TRUE(gradient.isfinite().all().item<bool>());
  }
}

TEST(LinearCrossEntropy, TargetsOutsideTheClassesAreRefused) {
  auto problem = Problem::make(at::kFloat, 6, 30);
  problem.targets[2] = 30;
  EXPECT_THROW(linear_cross_entropy(problem.x, problem.weight, problem.targets), c10::Error);
  problem.targets[2] = -5;
  EXPECT_THROW(linear_cross_entropy(problem.x, problem.weight, problem.targets), c10::Error);
}

TEST(LinearCrossEntropy, GivesTheSameNumbersForAnyNumberOfThreads) {
  const auto problem = Problem::make(at::kFloat);
  const int threads = at::get_num_threads();
  const auto run = [&](int count) {
    at::set_num_threads(count);
    return problem.gradients(linear_cross_entropy(problem.x, problem.weight, problem.targets));
  };
  const auto one = run(1), two = run(2);
  at::set_num_threads(threads);
  expect_all_close(two, one, 1e-6);  // the matrix library divides its sums by threads
}

}  // namespace
}  // namespace gear::ops
