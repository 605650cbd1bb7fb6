#include "gear/losses/next_token.h"

#include <ATen/ops/one_hot.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "gear/nn/autocast.h"

// B batch, L tokens, K codes, D model width

namespace gear::losses {
namespace {

TEST(NextTokenLoss, OfUniformLogitsIsTheLogOfTheNumberOfCodes) {
  const auto loss =
      next_token_loss(at::randn({2, 3, 4}), at::zeros({16384, 4}), at::zeros({2, 3}, at::kLong));
  EXPECT_NEAR(loss.item<double>(), std::log(16384.0), 1e-5);
}

TEST(NextTokenLoss, GradientIsSoftmaxMinusOneHotPerToken) {
  torch::manual_seed(1);
  const auto features = at::randn({2, 3, 4}, at::kDouble).requires_grad_(true);
  const auto head = at::randn({5, 4}, at::kDouble);
  const auto ids = at::randint(0, 5, {2, 3}, at::kLong);
  next_token_loss(features, head, ids).backward();
  const auto logits = features.detach().matmul(head.t());
  const auto expected = ((at::softmax(logits, -1) - at::one_hot(ids, 5)) / 6.0).matmul(head);
  EXPECT_LT((features.grad() - expected).abs().max().item<double>(), 1e-15);
}

TEST(NextTokenLoss, IsFloat32AlsoUnderAutocast) {
  torch::manual_seed(2);
  const auto features = at::randn({1, 2, 8}), head = at::randn({4, 8});
  const auto ids = at::zeros({1, 2}, at::kLong);
  const auto exact = next_token_loss(features, head, ids);
  const nn::AutocastScope mixed(at::kCPU, true);
  const auto rounded = next_token_loss(features.to(at::kBFloat16), head, ids);
  EXPECT_EQ(rounded.scalar_type(), at::kFloat);
  EXPECT_NE(rounded.item<float>(), exact.item<float>());
  EXPECT_NEAR(rounded.item<double>(), exact.item<double>(), 0.1);
}

}  // namespace
}  // namespace gear::losses
