#include "gear/ops/readout.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "ops/readout_kernels.h"

// T tokens, K codes, P width of the product, D width of the table

namespace gear::ops {
namespace {

/// Sizes that are no multiples of the blocks and tiles of the kernels.
constexpr int64_t kTokens = 700, kCodes = 2500, kWidth = 6, kTable = 20;

struct Problem {
  Costs costs;
  Tensor table;
  Tensor to_lookup, to_mean;  // weights that make one scalar of the outputs

  static Problem make(at::ScalarType type, int64_t tokens = kTokens, int64_t codes = kCodes) {
    at::manual_seed(3);
    const auto options = at::TensorOptions().dtype(type);
    const auto leaf = [&](at::IntArrayRef sizes) {
      return at::randn(sizes, at::kDouble).to(options).requires_grad_();
    };
    return {.costs = {.left = leaf({tokens, kWidth}), .right = leaf({codes, kWidth})},
            .table = leaf({codes, kTable}),
            .to_lookup = at::randn({tokens, kTable}, at::kDouble).to(options),
            .to_mean = at::randn({codes}, at::kDouble).to(options)};
  }

  std::vector<Tensor> inputs() const { return {costs.left, costs.right, table}; }

  Tensor scalar(const Readout& readout) const {
    return (readout.lookup * to_lookup).sum() + 3 * readout.sample_entropy +
           5 * (readout.mean_distribution * to_mean).sum();
  }
};

/// The same by its definition, all [T, K] at once.
Readout truth(const Problem& problem, const ReadoutOptions& options) {
  const auto cost = problem.costs.left.matmul(problem.costs.right.t());
  const auto ids = cost.argmin(1);
  auto s = at::softmax(-cost / options.temperature, 1);
  if (options.straight_through) {
    const auto hard = at::one_hot(ids, cost.size(1)).to(cost.scalar_type());
    // The gradient of the table is that of the hard read-out, as of an indexed table.
    const auto soft = (s - s.detach()).matmul(problem.table.detach());
    return {.ids = ids, .lookup = hard.matmul(problem.table) + soft};
  }
  const auto log_p = at::log_softmax(-cost / options.entropy_temperature, 1);
  const auto p = log_p.exp();
  return {.ids = ids,
          .lookup = s.matmul(problem.table),
          .sample_entropy = -(p * log_p).sum(1).mean(),
          .mean_distribution = p.mean(0)};
}

void expect_close(const Tensor& actual, const Tensor& expected, double bound, const char* what) {
  const double scale = expected.abs().max().item<double>();
  const double error =
      (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
  EXPECT_LE(error, bound * scale) << what;
}

void expect_gradients_of(const Problem& problem, const Tensor& scalar, const Tensor& expected,
                         double bound) {
  const auto found = torch::autograd::grad({scalar}, problem.inputs());
  const auto wanted = torch::autograd::grad({expected}, problem.inputs());
  for (size_t i = 0; i < found.size(); ++i) {
    SCOPED_TRACE(i);
    expect_close(found[i], wanted[i], bound, "gradient");
  }
}

const ReadoutOptions kSoft = {.temperature = 0.3, .entropy_temperature = 0.5};

TEST(Readout, EqualsItsDefinitionInFloat64) {
  const auto problem = Problem::make(at::kDouble);
  const auto found = read_out(problem.costs, problem.table, kSoft);
  const auto expected = truth(problem, kSoft);
  EXPECT_TRUE(found.ids.equal(expected.ids));
  expect_close(found.lookup, expected.lookup, 1e-12, "lookup");
  expect_close(found.sample_entropy, expected.sample_entropy, 1e-12, "sample_entropy");
  expect_close(found.mean_distribution, expected.mean_distribution, 1e-12, "mean_distribution");
}

TEST(Readout, GradientsEqualThoseOfItsDefinitionInFloat64) {
  const auto problem = Problem::make(at::kDouble);
  expect_gradients_of(problem, problem.scalar(read_out(problem.costs, problem.table, kSoft)),
                      problem.scalar(truth(problem, kSoft)), 1e-11);
}

TEST(Readout, StaysWithinAHundredThousandthOfFloat64InFloat32) {
  const auto exact = Problem::make(at::kDouble);
  const auto problem = Problem::make(at::kFloat);
  const auto found = read_out(problem.costs, problem.table, kSoft);
  const auto expected = truth(exact, kSoft);
  expect_close(found.lookup, expected.lookup, 1e-5, "lookup");
  expect_close(found.mean_distribution, expected.mean_distribution, 1e-5, "mean_distribution");
  const auto gradients = torch::autograd::grad({problem.scalar(found)}, problem.inputs());
  const auto wanted = torch::autograd::grad({exact.scalar(expected)}, exact.inputs());
  for (size_t i = 0; i < wanted.size(); ++i)
    expect_close(gradients[i], wanted[i], 1e-5, "gradient");
}

TEST(Readout, StraightThroughHasHardValuesAndSoftGradients) {
  const auto problem = Problem::make(at::kDouble);
  const ReadoutOptions options = {.temperature = 0.7, .straight_through = true};
  const auto found = read_out(problem.costs, problem.table, options).lookup;
  EXPECT_TRUE(found.equal(problem.table.index_select(0, truth(problem, options).ids)));
  expect_gradients_of(problem, (found * problem.to_lookup).sum(),
                      (truth(problem, options).lookup * problem.to_lookup).sum(), 1e-11);
}

TEST(Readout, EachOutputCanBeDifferentiatedAlone) {
  const auto problem = Problem::make(at::kDouble, 40, 60);
  const std::vector<std::function<Tensor(const Readout&)>> parts = {
      [&](const Readout& readout) { return (readout.lookup * problem.to_lookup).sum(); },
      [](const Readout& readout) { return readout.sample_entropy; },
      [&](const Readout& readout) { return (readout.mean_distribution * problem.to_mean).sum(); }};
  const std::vector<Tensor> factors = {problem.costs.left, problem.costs.right};
  for (const auto& part : parts) {
    const auto found =
        torch::autograd::grad({part(read_out(problem.costs, problem.table, kSoft))}, factors);
    const auto wanted = torch::autograd::grad({part(truth(problem, kSoft))}, factors);
    for (size_t i = 0; i < 2; ++i) expect_close(found[i], wanted[i], 1e-11, "gradient");
  }
}

TEST(Readout, AFrozenTableGetsNoGradientAndCostsGetTheSame) {
  const auto problem = Problem::make(at::kDouble, 40, 60);
  const auto frozen = read_out(problem.costs, problem.table.detach(), kSoft);
  const auto whole = read_out(problem.costs, problem.table, kSoft);
  const auto some = torch::autograd::grad({problem.scalar(frozen)}, {problem.costs.left});
  const auto all = torch::autograd::grad({problem.scalar(whole)}, {problem.costs.left});
  EXPECT_TRUE(some[0].equal(all[0]));
}

TEST(Readout, OnlyTheTableMayNeedAGradient) {
  auto problem = Problem::make(at::kDouble, 40, 60);
  const auto wanted = torch::autograd::grad(
      {(truth(problem, kSoft).lookup * problem.to_lookup).sum()}, {problem.table});
  problem.costs = problem.costs.detach();
  const auto found = torch::autograd::grad(
      {(read_out(problem.costs, problem.table, kSoft).lookup * problem.to_lookup).sum()},
      {problem.table});
  expect_close(found[0], wanted[0], 1e-12, "gradient of the table");
}

TEST(Readout, TiesGoToTheLowestIndex) {
  const auto problem = Problem::make(at::kFloat, 300, 2100);
  const auto codes = problem.costs.right.detach();
  const auto twice = at::cat({codes, codes});  // every code again, 2,100 places later
  const auto ids = read_out({problem.costs.left.detach(), twice}, {}, {}).ids;
  EXPECT_LT(ids.max().item<int64_t>(), 2100);
  EXPECT_TRUE(ids.equal(read_out(problem.costs.detach(), {}, {}).ids));
}

TEST(Readout, GivesTheSameNumbersForAnyNumberOfThreads) {
  const auto problem = Problem::make(at::kFloat);
  ReadoutOptions options = kSoft;
  options.diagnostics = {1.0};
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    const auto readout = read_out(problem.costs, problem.table, options);
    auto numbers = torch::autograd::grad({problem.scalar(readout)}, problem.inputs());
    for (const auto& tensor :
         {readout.lookup, readout.mean_distribution, readout.diagnostics[0].entropy,
          readout.diagnostics[0].top_mass[2]}) {
      numbers.push_back(tensor.detach());
    }
    return numbers;
  };
  const int threads = at::get_num_threads();
  const auto one = run(1), two = run(2);
  at::set_num_threads(threads);
  // The matrix library may divide the sums of a product by threads; ours stay in their order.
  for (size_t i = 0; i < one.size(); ++i) expect_close(two[i], one[i], 1e-6, "value");
}

TEST(ReadoutKernels, GiveTheSameBitsForAnyNumberOfThreads) {
  at::manual_seed(7);
  const auto cost = at::randn({70, kCodes});
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    const RowStatistics rows{.ids = at::empty({70}, at::kLong),
                             .lowest = at::empty({70}),
                             .normaliser = at::empty({1, 70}),
                             .entropy = at::empty({1, 70}),
                             .top_mass = at::empty({1, 70, 4})};
    kCpuReadout.row_statistics(cost, {0.5}, rows);
    const RowSoftmax softmax{
        .lowest = rows.lowest, .normaliser = rows.normaliser[0], .temperature = 0.5};
    const auto sum = at::zeros({kCodes}), expected = at::zeros({70});
    kCpuReadout.add_distribution(cost, softmax, sum);
    kCpuReadout.add_expectation(cost, softmax, sum, expected);
    return std::vector<Tensor>{rows.ids,      rows.lowest, rows.normaliser, rows.entropy,
                               rows.top_mass, sum,         expected};
  };
  const int threads = at::get_num_threads();
  const auto one = run(1), two = run(2);
  at::set_num_threads(threads);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(two[i])) << i;
}

TEST(Readout, DiagnosticsAreThoseOfTheSoftmax) {
  const auto problem = Problem::make(at::kDouble);
  const auto found = read_out(problem.costs.detach(), {}, {.diagnostics = {1.0, 0.25}}).diagnostics;
  ASSERT_EQ(found.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const auto log_p = at::log_softmax(-problem.costs.matrix() / (i == 0 ? 1.0 : 0.25), 1);
    const double entropy = -(log_p.exp() * log_p).sum(1).mean().item<double>();
    EXPECT_NEAR(found[i].entropy.item<double>(), entropy, 1e-6 * entropy);
    EXPECT_NEAR(found[i].effective_size.item<double>(), std::exp(entropy),
                1e-5 * std::exp(entropy));
    for (size_t n = 0; n < kTopCounts.size(); ++n) {
      const auto top = std::get<0>(at::topk(log_p.exp(), kTopCounts[n], 1)).sum(1).mean();
      EXPECT_NEAR(found[i].top_mass[n].item<double>(), top.item<double>(), 1e-6) << n;
    }
  }
}

TEST(Readout, GroupsLargerThanTheCodebookHoldAllOfIt) {
  const auto problem = Problem::make(at::kDouble, 30, 50);
  const auto found = read_out(problem.costs.detach(), {}, {.diagnostics = {1.0}}).diagnostics[0];
  EXPECT_NEAR(found.top_mass[2].item<double>(), 1.0, 1e-7);
  EXPECT_NEAR(found.top_mass[3].item<double>(), 1.0, 1e-7);
}

TEST(Readout, Bfloat16ProductsStayWithinTheirRounding) {
  // One rounding of s, of the table and of a partial sum: 3 * 2^-9 of the largest value.
  const auto problem = Problem::make(at::kFloat);
  ReadoutOptions options = kSoft;
  const auto exact = read_out(problem.costs, problem.table, options).lookup;
  options.bfloat16_products = true;
  const auto rounded = read_out(problem.costs, problem.table, options).lookup;
  expect_close(rounded, exact, 3.0 / 512, "lookup");
  EXPECT_FALSE(rounded.equal(exact));
}

TEST(Readout, FarCodesDoNotMakeNaN) {
  auto problem = Problem::make(at::kFloat, 8, 16);
  const Costs far = {problem.costs.left * 1e4, problem.costs.right * 1e4};
  const auto readout = read_out(far, problem.table, kSoft);
  for (const auto& gradient : torch::autograd::grad({problem.scalar(readout)}, problem.inputs())) {
    EXPECT_TRUE(gradient.isfinite().all().item<bool>());
  }
  EXPECT_NEAR(readout.sample_entropy.item<double>(), 0.0, 1e-12);
}

TEST(Readout, WrongShapesAreRefused) {
  const auto problem = Problem::make(at::kFloat, 8, 16);
  EXPECT_THROW(read_out({problem.costs.left, problem.costs.left.slice(1, 0, 2)}, {}, {}),
               c10::Error);
  EXPECT_THROW(read_out(problem.costs, problem.table.slice(0, 0, 3), kSoft), c10::Error);
  EXPECT_THROW(read_out(problem.costs, problem.table, {}), c10::Error);  // no temperature
}

}  // namespace
}  // namespace gear::ops
