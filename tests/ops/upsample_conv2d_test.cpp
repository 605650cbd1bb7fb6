#include "gear/ops/upsample_conv2d.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <string>
#include <utility>
#include <vector>

#include "core/numeric_gradient.h"
#include "gear/nn/autocast.h"
#include "ops/bytes_kept.h"

// B images, C channels in, K channels out

namespace gear::ops {
namespace {

struct Problem {
  Tensor x;       // [B, C, H, W]
  Tensor weight;  // [K, C, 3, 3]
  Tensor bias;    // [K]
  ConvMethod method = ConvMethod::kDirect;
};

Problem make_problem(int64_t channels, int64_t side, at::ScalarType type) {
  torch::manual_seed(9);
  const auto make = [&](at::IntArrayRef sizes, at::MemoryFormat format) {
    return at::randn(sizes).to(type).contiguous(format).requires_grad_(true);
  };
  return {.x = make({2, channels, side, side}, at::MemoryFormat::ChannelsLast),
          .weight = make({32, channels, 3, 3}, at::MemoryFormat::Contiguous),
          .bias = make({32}, at::MemoryFormat::Contiguous)};
}

Tensor apart(const Problem& p) {
  const auto larger = at::upsample_nearest2d(p.x, {2 * p.x.size(2), 2 * p.x.size(3)});
  return conv2d(larger, p.weight, p.bias, /*padding=*/1, p.method);
}

Tensor together(const Problem& p) { return upsample_conv2d(p.x, p.weight, p.bias, p.method); }

using Outcome = std::vector<std::pair<std::string, Tensor>>;

Outcome run(const Problem& problem, Tensor (*operation)(const Problem&), bool bf16 = false) {
  for (const Tensor& t : {problem.x, problem.weight, problem.bias}) t.mutable_grad() = Tensor();
  Tensor y;
  {
    const nn::AutocastScope autocast(at::kCPU, bf16);
    y = operation(problem);
  }
  torch::manual_seed(10);
  y.backward(at::randn(y.sizes()).to(y.options()));
  return {{"y", y.detach()},
          {"gradient of x", problem.x.grad()},
          {"of the weight", problem.weight.grad()},
          {"of the bias", problem.bias.grad()}};
}

void expect_same(const Outcome& found, const Outcome& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(found[i].second.scalar_type(), expected[i].second.scalar_type()) << found[i].first;
    EXPECT_TRUE(found[i].second.equal(expected[i].second)) << found[i].first;
  }
}

TEST(UpsampleConv2d, HasTheBitsOfTheTwoOperations) {
  for (const auto method : {ConvMethod::kDirect, ConvMethod::kWinograd}) {
    for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      auto problem = make_problem(32, 9, type);
      problem.method = method;
      const auto expected = run(problem, apart);
      expect_same(run(problem, together), expected);
    }
  }
  const auto problem = make_problem(32, 9, at::kFloat);
  const auto expected = run(problem, apart, /*bf16=*/true);
  expect_same(run(problem, together, /*bf16=*/true), expected);
}

TEST(UpsampleConv2d, GradientMatchesFiniteDifferences) {
  auto problem = make_problem(3, 2, at::kDouble);
  problem.x = problem.x.detach().contiguous().requires_grad_(true);
  const auto grad = at::randn({2, 32, 4, 4}, at::kDouble);
  const auto value = [&] { return (together(problem) * grad).sum(); };
  for (const auto& variable : {problem.x, problem.weight, problem.bias}) {
    EXPECT_LT(gradient_error(value, variable), 1e-6);
  }
}

TEST(UpsampleConv2d, KeepsNoMapBesideItsInputAndItsResult) {
  const auto problem = make_problem(32, 64, at::kFloat);
  const size_t map = 4 * problem.x.nbytes();  // of the result
  EXPECT_LT(bytes_kept([&] { return together(problem); }), map + map / 10);
  EXPECT_GT(bytes_kept([&] { return apart(problem); }), 2 * map) << "what it is measured against";
}

TEST(UpsampleConv2d, RefusesOtherFilters) {
  auto problem = make_problem(32, 9, at::kFloat);
  problem.weight = at::randn({32, 32, 4, 4});
  EXPECT_THROW(together(problem), c10::Error);
  problem.weight = at::randn({32, 16, 3, 3});
  EXPECT_THROW(together(problem), c10::Error);
}

}  // namespace
}  // namespace gear::ops
