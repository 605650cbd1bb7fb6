#include "gear/losses/codebook_diagnostics.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

// T tokens, K codes

namespace gear::losses {
namespace {

constexpr std::array<int64_t, 4> kTopCounts = {1, 10, 100, 1000};

/// The definition, with the whole [T, K] matrix of probabilities in float64.
void expect_matches_definition(const Tensor& cost, double temperature) {
  const auto found = assignment_diagnostics(cost, {temperature})[0];
  const auto p = at::softmax(cost.to(at::kDouble) / -temperature, -1);  // [T, K]
  const double entropy = -(p * p.log()).sum(-1).mean().item<double>();
  EXPECT_NEAR(found.entropy.item<double>(), entropy, 1e-5);
  EXPECT_NEAR(found.effective_size.item<double>() / std::exp(entropy), 1.0, 1e-5);
  const auto sorted = std::get<0>(p.sort(-1, /*descending=*/true));
  for (size_t i = 0; i < kTopCounts.size(); ++i) {
    const double mass = sorted.slice(1, 0, kTopCounts[i]).sum(-1).mean().item<double>();
    EXPECT_NEAR(found.top_mass[i].item<double>(), mass, 1e-5) << kTopCounts[i];
  }
}

TEST(AssignmentDiagnostics, MatchTheDefinitionOverSeveralBlocks) {
  torch::manual_seed(1);
  const auto cost = at::rand({1300, 2048}) * 4.0;  // blocks of 512 rows, the last one shorter
  for (const double temperature : {1.0, 0.1}) expect_matches_definition(cost, temperature);
}

TEST(AssignmentDiagnostics, MatchTheDefinitionForCostsBelowZero) {
  torch::manual_seed(2);
  expect_matches_definition(at::rand({20, 64}) * -30.0, 1.0);
}

TEST(AssignmentDiagnostics, OfEqualCostsSeeTheWholeCodebook) {
  const auto found = assignment_diagnostics(at::zeros({3, 4096}), {0.1})[0];
  EXPECT_NEAR(found.entropy.item<double>(), std::log(4096.0), 1e-5);
  EXPECT_NEAR(found.effective_size.item<double>(), 4096.0, 0.05);
  EXPECT_NEAR(found.top_mass[2].item<double>(), 100.0 / 4096.0, 1e-7);
}

TEST(AssignmentDiagnostics, OfFewerThanAThousandCodesGiveThemAllTheMass) {
  torch::manual_seed(3);
  const auto found = assignment_diagnostics(at::rand({5, 64}), {1.0})[0];
  EXPECT_FLOAT_EQ(found.top_mass[2].item<float>(), 1.0F);
  EXPECT_FLOAT_EQ(found.top_mass[3].item<float>(), 1.0F);
}

TEST(AssignmentDiagnostics, OfTwoBatchesAreThoseOfAllTheirTokens) {
  const auto sure = at::tensor({0.0F, 30.0F, 30.0F, 30.0F}).view({1, 4});
  const auto costs = at::cat({sure, at::zeros({1, 4})});  // one token on one code, one on all four
  const auto all = assignment_diagnostics(costs, {1.0})[0];
  const auto mean = mean_of({assignment_diagnostics(costs.slice(0, 0, 1), {1.0})[0],
                             assignment_diagnostics(costs.slice(0, 1, 2), {1.0})[0]});
  EXPECT_NEAR(mean.entropy.item<double>(), all.entropy.item<double>(), 1e-6);
  EXPECT_NEAR(mean.top_mass[0].item<double>(), all.top_mass[0].item<double>(), 1e-6);
  EXPECT_NEAR(mean.effective_size.item<double>(), all.effective_size.item<double>(), 1e-5);
  EXPECT_NEAR(mean.effective_size.item<double>(), 2.0, 1e-5);  // the mean of both sizes is 2.5
}

TEST(AssignmentDiagnostics, HaveTheirPublicNames) {
  std::vector<std::string> names;
  const auto found = assignment_diagnostics(at::zeros({2, 8}), {1.0, 0.1});
  for (const auto& [name, value] : assignment_metrics(found[0], found[1])) names.push_back(name);
  EXPECT_THAT(names,
              ::testing::ElementsAre("codebook/natural_entropy_nats", "codebook/effective_size",
                                     "codebook/top1_prob", "codebook/top10_prob",
                                     "codebook/top100_prob", "codebook/top1000_prob",
                                     "soft/entropy_nats", "soft/effective_size", "soft/top1_prob",
                                     "soft/top10_prob", "soft/top100_prob", "soft/top1000_prob"));
}

TEST(CodebookUsage, IsTheShareOfCodesThatOccur) {
  const auto ids = at::tensor({3, 3, 0, 7}, at::kLong).view({2, 2});
  EXPECT_FLOAT_EQ(codebook_usage(ids, 8).item<float>(), 3.0F / 8.0F);
}

}  // namespace
}  // namespace gear::losses
