#include "gear/losses/next_token.h"

#include <ATen/ops/one_hot.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

// B batch, L tokens, K codes

namespace gear::losses {
namespace {

TEST(NextTokenLoss, OfUniformLogitsIsTheLogOfTheNumberOfCodes) {
  const auto loss = next_token_loss(at::zeros({2, 3, 16384}), at::zeros({2, 3}, at::kLong));
  EXPECT_NEAR(loss.item<double>(), std::log(16384.0), 1e-5);
}

TEST(NextTokenLoss, GradientIsSoftmaxMinusOneHotPerToken) {
  torch::manual_seed(1);
  const auto logits = at::randn({2, 3, 5}, at::kDouble).requires_grad_(true);
  const auto ids = at::randint(0, 5, {2, 3}, at::kLong);
  next_token_loss(logits, ids).backward();
  const auto expected = (at::softmax(logits.detach(), -1) - at::one_hot(ids, 5)) / 6.0;
  EXPECT_LT((logits.grad() - expected).abs().max().item<double>(), 1e-15);
}

TEST(NextTokenLoss, IsComputedInFloat32) {
  const auto logits = at::zeros({1, 2, 4}, at::kBFloat16);
  EXPECT_EQ(next_token_loss(logits, at::zeros({1, 2}, at::kLong)).scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace gear::losses
