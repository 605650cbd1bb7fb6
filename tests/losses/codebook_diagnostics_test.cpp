#include "gear/losses/codebook_diagnostics.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gear::losses {
namespace {

AssignmentDiagnostics of(const Tensor& left, const Tensor& right) {
  return ops::read_out({.left = left, .right = right}, {}, {.diagnostics = {1.0}}).diagnostics[0];
}

TEST(AssignmentDiagnostics, OfTwoBatchesAreThoseOfAllTheirTokens) {
  const auto sure = at::tensor({0.0F, 30.0F, 30.0F, 30.0F}).view({1, 4});
  const auto costs = at::cat({sure, at::zeros({1, 4})});  // one token on one code, one on all four
  const auto all = of(costs, at::eye(4));
  const auto mean =
      mean_of({of(costs.slice(0, 0, 1), at::eye(4)), of(costs.slice(0, 1, 2), at::eye(4))});
  EXPECT_NEAR(mean.entropy.item<double>(), all.entropy.item<double>(), 1e-6);
  EXPECT_NEAR(mean.top_mass[0].item<double>(), all.top_mass[0].item<double>(), 1e-6);
  EXPECT_NEAR(mean.effective_size.item<double>(), all.effective_size.item<double>(), 1e-5);
  EXPECT_NEAR(mean.effective_size.item<double>(), 2.0, 1e-5);  // the mean of both sizes is 2.5
}

TEST(AssignmentDiagnostics, HaveTheirPublicNames) {
  std::vector<std::string> names;
  const auto found = of(at::zeros({2, 1}), at::zeros({8, 1}));
  for (const auto& [name, value] : assignment_metrics(found, found)) names.push_back(name);
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
