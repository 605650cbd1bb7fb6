#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "gear/nn/dropout.h"
#include "gear/nn/rms_norm.h"
#include "gear/nn/swiglu.h"

namespace gear::nn {
namespace {

TEST(RmsNorm, MatchesTheClosedForm) {
  torch::manual_seed(0);
  RmsNorm norm(6, 1e-3);
  {
    const at::NoGradGuard no_grad;
    norm->weight.normal_();
  }
  const auto x = at::randn({2, 3, 6});
  const auto expected = x / (x.square().mean(-1, /*keepdim=*/true) + 1e-3).sqrt() * norm->weight;
  EXPECT_TRUE(norm(x).allclose(expected, 1e-5, 1e-6));
}

TEST(SwiGlu, GatesOneProjectionWithTheOther) {
  torch::manual_seed(0);
  SwiGlu mlp(4, 7);
  const auto x = at::randn({2, 3, 4});
  const auto gate = x.matmul(mlp->w1->weight.t());
  const auto expected =
      (gate * gate.sigmoid() * x.matmul(mlp->w3->weight.t())).matmul(mlp->w2->weight.t());
  EXPECT_TRUE(mlp(x).allclose(expected, 1e-5, 1e-6));
}

TEST(DropPath, KeepsTheMeanAndDropsWholeSamples) {
  torch::manual_seed(0);
  const auto kept = drop_path(at::ones({4000, 3}), 0.25, /*training=*/true);
  EXPECT_TRUE(kept.select(1, 0).equal(kept.select(1, 2)));
  // Standard error of the mean: sqrt(1/3) / sqrt(4000) = 0.009.
  EXPECT_NEAR(kept.mean().item<double>(), 1.0, 0.05);
  EXPECT_NEAR((kept == 0).to(at::kFloat).mean().item<double>(), 0.25, 0.04);
  EXPECT_TRUE(drop_path(kept, 0.25, /*training=*/false).equal(kept));
}

}  // namespace
}  // namespace gear::nn
