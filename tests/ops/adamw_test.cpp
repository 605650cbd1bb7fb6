#include "gear/ops/adamw.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

namespace gear::ops {
namespace {

constexpr float kUpdate = 3;  // number of the update

/// Tensors of several sizes, some of them larger than what a thread takes at once, one without an
/// average.
std::vector<AdamWTensors> make_tensors(at::TensorOptions options) {
  torch::manual_seed(4);
  std::vector<AdamWTensors> tensors;
  for (const int64_t size : {1, 7, 16384, 50001, 300}) {
    const auto random = [&] { return at::randn({size}, at::kDouble).to(options); };
    tensors.push_back({.parameter = random(),
                       .gradient = random(),
                       .exp_avg = random(),
                       .exp_avg_sq = at::rand({size}, at::kDouble).to(options),
                       .step = at::full({}, kUpdate, options.dtype(at::kFloat)),
                       .average = size == 300 ? Tensor() : random()});
  }
  return tensors;
}

AdamWStep make_step(const at::TensorOptions& options) {
  return {.lr = 0.01,
          .beta1 = 0.9,
          .beta2 = 0.95,
          .eps = 1e-3,
          .weight_decay = 0.1,
          .average_decay = 0.99,
          .gradient_factor = at::full({}, 0.5, options.dtype(at::kFloat))};
}

/// The definition, in float64.
AdamWTensors truth(const AdamWTensors& before, const AdamWStep& s) {
  const auto exact = [](const Tensor& t) { return t.to(at::kCPU, at::kDouble); };
  AdamWTensors after;
  after.gradient = exact(before.gradient);
  const auto g = 0.5 * after.gradient;
  after.exp_avg = s.beta1 * exact(before.exp_avg) + (1 - s.beta1) * g;
  after.exp_avg_sq = s.beta2 * exact(before.exp_avg_sq) + (1 - s.beta2) * g * g;
  const auto first = after.exp_avg / (1 - std::pow(s.beta1, kUpdate));
  const auto second = after.exp_avg_sq / (1 - std::pow(s.beta2, kUpdate));
  after.parameter = (1 - s.lr * s.weight_decay) * exact(before.parameter) -
                    s.lr * first / (second.sqrt() + s.eps);
  if (before.average.defined()) {
    after.average =
        s.average_decay * exact(before.average) + (1 - s.average_decay) * after.parameter;
  }
  return after;
}

void expect_close(const Tensor& found, const Tensor& expected, double bound) {
  ASSERT_EQ(found.defined(), expected.defined());
  if (!found.defined()) return;
  const auto error = (found.to(at::kCPU, at::kDouble) - expected).abs().max().item<double>();
  EXPECT_LT(error, bound * (1 + expected.abs().max().item<double>()));
}

void expect_truth(const at::TensorOptions& options, double bound) {
  const auto step = make_step(options);
  const auto tensors = make_tensors(options);
  std::vector<AdamWTensors> expected;
  for (const auto& each : tensors) expected.push_back(truth(each, step));
  adamw_(tensors, step);
  for (size_t i = 0; i < tensors.size(); ++i) {
    expect_close(tensors[i].parameter, expected[i].parameter, bound);
    expect_close(tensors[i].gradient, expected[i].gradient, bound);
    expect_close(tensors[i].exp_avg, expected[i].exp_avg, bound);
    expect_close(tensors[i].exp_avg_sq, expected[i].exp_avg_sq, bound);
    expect_close(tensors[i].average, expected[i].average, bound);
  }
}

// A few roundings, of 6e-8 and of 1.1e-16, of values up to about 4.
TEST(AdamWOp, AgreesWithItsDefinition) {
  expect_truth(at::kFloat, 3e-7);
  expect_truth(at::kDouble, 1e-14);
}

TEST(AdamWOp, AgreesWithItsDefinitionOnCuda) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  expect_truth(at::TensorOptions(at::kCUDA).dtype(at::kFloat), 3e-7);
  expect_truth(at::TensorOptions(at::kCUDA).dtype(at::kDouble), 1e-14);
}

TEST(AdamWOp, GivesTheSameBitsOnAnyThreads) {
  const int threads = at::get_num_threads();
  std::vector<std::vector<AdamWTensors>> found;
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    found.push_back(make_tensors(at::kFloat));
    adamw_(found.back(), make_step(at::kFloat));
  }
  at::set_num_threads(threads);
  for (size_t i = 0; i < found[0].size(); ++i) {
    EXPECT_TRUE(found[0][i].parameter.equal(found[1][i].parameter));
  }
}

TEST(AdamWOp, RefusesTensorsThatDoNotFitTogether) {
  auto tensors = make_tensors(at::kFloat);
  tensors[1].exp_avg = tensors[2].exp_avg;
  EXPECT_THROW(adamw_(tensors, make_step(at::kFloat)), c10::Error);
  tensors = make_tensors(at::kFloat);
  tensors[1].average = tensors[1].average.to(at::kDouble);
  EXPECT_THROW(adamw_(tensors, make_step(at::kFloat)), c10::Error);
}

}  // namespace
}  // namespace gear::ops
