#include "gear/nn/dropout.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "gear/nn/checkpoint.h"

namespace gear::nn {
namespace {

constexpr double kProbability = 0.25;

TEST(SampleDropout, ASampleLosesTheSameValuesInEveryBatch) {
  const auto x = at::ones({3, 50, 8});
  Tensor together, alone;
  {
    const SampleDrawsScope scope({5, 6, 7});
    nn::dropout(x, kProbability, true);
    together = nn::dropout(x, kProbability, true);
  }
  {
    const SampleDrawsScope scope({7});
    nn::dropout(x.narrow(0, 0, 1), kProbability, true);
    alone = nn::dropout(x.narrow(0, 0, 1), kProbability, true);
  }
  EXPECT_TRUE(together[2].equal(alone[0]));
  EXPECT_FALSE(together[0].equal(together[1]));
}

TEST(SampleDropout, EveryDrawDropsItsShareAndDiffersFromTheOthers) {
  const auto x = at::ones({4, 100000});
  const SampleDrawsScope scope({1, 2, 3, 1ULL << 40});
  const auto first = nn::dropout(x, kProbability, true);
  const auto second = nn::dropout(x, kProbability, true);
  for (const auto& y : {first, second}) {
    EXPECT_NEAR(y.eq(0).to(at::kDouble).mean().item<double>(), kProbability, 0.003);
    EXPECT_NEAR(y.max().item<float>(), 1.0 / (1.0 - kProbability), 1e-6);
  }
  const auto dropped_twice = (first.eq(0) & second.eq(0)).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(dropped_twice, kProbability * kProbability, 0.003);
  const auto neighbours =
      (first.narrow(1, 0, 99999).eq(0) & first.narrow(1, 1, 99999).eq(0)).to(at::kDouble).mean();
  EXPECT_NEAR(neighbours.item<double>(), kProbability * kProbability, 0.003);
}

TEST(SampleDropout, TheGradientIsDroppedLikeTheValues) {
  const auto x = at::randn({2, 64}).requires_grad_(true);
  const SampleDrawsScope scope({1, 2});
  const auto y = nn::dropout(x, kProbability, true);
  y.sum().backward();
  EXPECT_TRUE(x.grad().mul(x.detach()).allclose(y.detach()));
}

TEST(SampleDropout, ASegmentThatIsComputedAgainDrawsTheSame) {
  const auto x = at::randn({2, 64}).requires_grad_(true);
  const SampleDrawsScope scope({1, 2});
  const auto segment = [](const Tensor& h) { return nn::dropout(h * h, kProbability, true); };
  const auto y = checkpoint(segment, x, {});
  nn::dropout(x, kProbability, true);  // what comes after must not change what comes again
  y.sum().backward();
  EXPECT_TRUE(x.grad().eq(0).equal(y.eq(0)));
}

TEST(SampleDropout, DropPathDropsWholeSamples) {
  std::vector<uint64_t> seeds;
  for (uint64_t i = 0; i < 2000; ++i) seeds.push_back(i);
  const SampleDrawsScope scope(seeds);
  const auto y = drop_path(at::ones({2000, 3}), kProbability, true);
  EXPECT_TRUE(y.select(1, 0).equal(y.select(1, 2)));
  EXPECT_NEAR(y.eq(0).to(at::kDouble).mean().item<double>(), kProbability, 0.04);
}

TEST(SampleDropout, OtherwiseNothingIsDrawnForEvaluation) {
  const auto x = at::ones({2, 8});
  EXPECT_TRUE(nn::dropout(x, kProbability, false).equal(x));
  EXPECT_TRUE(drop_path(x, kProbability, false).equal(x));
}

}  // namespace
}  // namespace gear::nn
