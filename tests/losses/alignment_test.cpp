#include "gear/losses/alignment.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/std.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

// B batch, L tokens, F feature width

namespace gear::losses {
namespace {

Tensor features(uint64_t seed) {
  torch::manual_seed(seed);
  return at::randn({2, 5, 7}, at::kDouble);
}

TEST(AlignmentLoss, RunsFromMinusOneToOne) {
  const auto target = features(1);
  EXPECT_NEAR(alignment_loss(3.0 * target, target).item<double>(), -1.0, 1e-12);
  EXPECT_NEAR(alignment_loss(-target, target).item<double>(), 1.0, 1e-12);
}

TEST(AlignmentLoss, AZeroTokenCountsAsUnrelated) {
  auto target = features(1);
  target[0][0].zero_();
  // 9 of 10 tokens agree.
  EXPECT_NEAR(alignment_loss(features(1), target).item<double>(), -0.9, 1e-12);
}

TEST(AlignmentLoss, AveragesOverTeachers) {
  const auto loss = alignment_loss({features(1), features(2)}, {features(1), -features(2)});
  EXPECT_NEAR(loss.item<double>(), 0.0, 1e-12);
}

TEST(AlignmentLoss, GradientMatchesFiniteDifferencesInFloat64) {
  const auto target = features(2).requires_grad_(true);
  const auto projected = features(1).requires_grad_(true);
  alignment_loss(projected, target).backward();
  EXPECT_FALSE(target.grad().defined());  // the teacher is not trained

  const at::NoGradGuard no_grad;
  const auto direction = at::randn_like(projected);
  const double step = 1e-6;
  const double above = alignment_loss(projected + step * direction, target).item<double>();
  const double below = alignment_loss(projected - step * direction, target).item<double>();
  const double found = (projected.grad() * direction).sum().item<double>();
  EXPECT_NEAR(found, (above - below) / (2.0 * step), 1e-9);
}

TEST(AlignmentLoss, IsComputedInFloat32) {
  const auto half = features(1).to(at::kBFloat16);
  EXPECT_EQ(alignment_loss(half, half).scalar_type(), at::kFloat);
}

TEST(SpatialNorm, NoneKeepsTheTarget) {
  EXPECT_TRUE(spatial_norm(features(1), SpatialNorm::kNone, 0.6).equal(features(1)));
}

TEST(SpatialNorm, DemeanTakesAwayAShareOfTheMeanOverTokens) {
  const auto target = features(1);
  const auto found = spatial_norm(target, SpatialNorm::kDemean, 0.75);
  EXPECT_LT((found.mean(1) - 0.25 * target.mean(1)).abs().max().item<double>(), 1e-12);
}

TEST(SpatialNorm, ZscoreGivesUnitUnbiasedDeviationOverTokens) {
  const auto found = spatial_norm(features(1), SpatialNorm::kZscore, 1.0);
  const auto deviation = at::std(found, at::IntArrayRef{1}, /*unbiased=*/true);
  EXPECT_LT((deviation - 1.0).abs().max().item<double>(), 1e-5);  // eps 1e-6 over the deviation
  EXPECT_LT(found.mean(1).abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace gear::losses
