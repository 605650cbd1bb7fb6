#include "gear/ops/norm_conv2d.h"

#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
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

constexpr auto kLast = at::MemoryFormat::ChannelsLast;

struct Problem {
  Tensor x;  // [B, C, H, W]
  NormConv2dParameters parameters;
  Tensor grad;  // [B, K, H, W]
  NormConv2dOptions options;
};

Problem make_problem(int64_t channels, int64_t side, at::ScalarType type) {
  torch::manual_seed(5);
  const auto leaf = [&](at::IntArrayRef sizes) { return at::randn(sizes).to(type); };
  return {.x = leaf({2, channels, side, side}).contiguous(kLast),
          .parameters = {.norm_weight = leaf({channels}),
                         .norm_bias = leaf({channels}),
                         .weight = leaf({32, channels, 3, 3}) * 0.1,
                         .bias = leaf({32})},
          .grad = leaf({2, 32, side, side}).contiguous(kLast),
          .options = {.norm = {.groups = channels / 2, .activation = Activation::kSilu}}};
}

void require_gradients(Problem& problem) {
  auto& p = problem.parameters;
  for (Tensor* tensor : {&problem.x, &p.norm_weight, &p.norm_bias, &p.weight, &p.bias}) {
    if (tensor->defined()) *tensor = tensor->detach().clone().requires_grad_(true);
  }
}

Tensor apart(const Problem& problem) {
  const auto& p = problem.parameters;
  return conv2d(group_norm(problem.x, p.norm_weight, p.norm_bias, problem.options.norm), p.weight,
                p.bias, problem.options.padding, problem.options.method);
}

Tensor together(const Problem& problem) {
  return norm_conv2d(problem.x, problem.parameters, problem.options);
}

using Outcome = std::vector<std::pair<std::string, Tensor>>;

Outcome run(Problem problem, Tensor (*operation)(const Problem&), bool bf16 = false) {
  require_gradients(problem);
  Tensor y;
  {
    const nn::AutocastScope autocast(at::kCPU, bf16);
    y = operation(problem);
  }
  y.backward(problem.grad.to(y.scalar_type()));
  const auto& p = problem.parameters;
  Outcome found = {{"y", y.detach()},
                   {"gradient of x", problem.x.grad()},
                   {"of the norm's weight", p.norm_weight.grad()},
                   {"of the norm's bias", p.norm_bias.grad()},
                   {"of the weight", p.weight.grad()}};
  if (p.bias.defined()) found.emplace_back("of the bias", p.bias.grad());
  return found;
}

void expect_same(const Outcome& found, const Outcome& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(found[i].second.scalar_type(), expected[i].second.scalar_type()) << found[i].first;
    EXPECT_TRUE(found[i].second.equal(expected[i].second)) << found[i].first;
    EXPECT_GT(found[i].second.abs().max().item<double>(), 0.0) << found[i].first;
  }
}

TEST(NormConv2d, HasTheBitsOfTheTwoOperations) {
  for (const auto method : {ConvMethod::kDirect, ConvMethod::kWinograd}) {
    for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      auto problem = make_problem(32, 9, type);
      problem.options.method = method;
      expect_same(run(problem, together), run(problem, apart));
    }
  }
}

TEST(NormConv2d, HasTheBitsOfTheTwoOperationsInMixedPrecision) {
  auto problem = make_problem(32, 9, at::kFloat);
  expect_same(run(problem, together, /*bf16=*/true), run(problem, apart, /*bf16=*/true));
  problem.x = problem.x.to(at::kBFloat16);  // what another convolution hands on
  expect_same(run(problem, together, /*bf16=*/true), run(problem, apart, /*bf16=*/true));
}

TEST(NormConv2d, WorksWithoutBiasAndWithoutActivation) {
  auto problem = make_problem(32, 9, at::kFloat);
  problem.parameters.bias = Tensor();
  problem.options.norm.activation = Activation::kNone;
  problem.options.padding = 0;
  problem.grad = problem.grad.slice(2, 0, 7).slice(3, 0, 7);
  expect_same(run(problem, together), run(problem, apart));
}

TEST(NormConv2d, GradientMatchesFiniteDifferences) {
  auto problem = make_problem(4, 3, at::kDouble);
  require_gradients(problem);
  const auto x = problem.x.detach().contiguous().requires_grad_(true);
  const auto value = [&] {
    problem.x = x.contiguous(kLast);
    return (together(problem) * problem.grad).sum();
  };
  const auto& p = problem.parameters;
  for (const auto& variable : {x, p.norm_weight, p.norm_bias, p.weight, p.bias}) {
    EXPECT_LT(gradient_error(value, variable), 1e-6);
  }
}

TEST(NormConv2d, GivesOnlyTheGradientsAskedFor) {
  // As the adaptive weight of the adversarial loss asks: of the weight alone, from a kept graph.
  auto problem = make_problem(32, 9, at::kFloat);
  const auto all = run(problem, together);
  problem.parameters.weight.requires_grad_(true);
  const auto y = together(problem);
  for (int i = 0; i < 2; ++i) {
    const auto found = torch::autograd::grad({y}, {problem.parameters.weight}, {problem.grad},
                                             /*retain_graph=*/true);
    EXPECT_TRUE(found[0].equal(all[4].second));
  }
  problem.parameters.weight = problem.parameters.weight.detach();
  problem.x.requires_grad_(true);
  EXPECT_TRUE(torch::autograd::grad({together(problem)}, {problem.x}, {problem.grad})[0].equal(
      all[1].second));
}

TEST(NormConv2d, KeepsNoMapBesideItsInputAndItsResult) {
  auto problem = make_problem(32, 128, at::kFloat);
  require_gradients(problem);
  const size_t map = problem.x.nbytes();  // of the result as well
  EXPECT_LT(bytes_kept([&] { return together(problem); }), map + map / 10);
  EXPECT_GT(bytes_kept([&] { return apart(problem); }), 2 * map) << "what it is measured against";
}

TEST(NormConv2d, RefusesWhatDoesNotFit) {
  auto problem = make_problem(32, 9, at::kFloat);
  problem.parameters.norm_weight = Tensor();
  EXPECT_THROW(together(problem), c10::Error);
  problem = make_problem(32, 9, at::kFloat);
  problem.parameters.weight = at::randn({32, 16, 3, 3});
  EXPECT_THROW(together(problem), c10::Error);
  problem = make_problem(32, 9, at::kFloat);
  problem.parameters.norm_bias = at::randn({16});
  EXPECT_THROW(together(problem), c10::Error);
}

}  // namespace
}  // namespace gear::ops
