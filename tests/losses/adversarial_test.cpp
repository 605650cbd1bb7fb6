#include "gear/losses/adversarial.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace gear::losses {
namespace {

Tensor logits(double mean) { return at::full({2, 1, 3, 3}, mean); }

TEST(AdversarialLoss, OfTheGeneratorIsMinusTheMeanLogit) {
  EXPECT_FLOAT_EQ(generator_loss(at::tensor({1.0F, 2.0F, -6.0F})).item<float>(), 1.0F);
}

TEST(AdversarialLoss, OfTheDiscriminatorIsHalfOfBothHinges) {
  const auto real = at::tensor({2.0F, 0.0F});   // hinges 0 and 1
  const auto fake = at::tensor({-3.0F, 1.0F});  // hinges 0 and 2
  EXPECT_FLOAT_EQ(hinge_discriminator_loss(real, fake).item<float>(), 0.75F);
}

TEST(AdversarialLoss, GradientVanishesBeyondTheMargin) {
  const auto real = at::tensor({2.0, 0.0}, at::kDouble).requires_grad_(true);
  const auto fake = at::tensor({-3.0, 1.0}, at::kDouble).requires_grad_(true);
  hinge_discriminator_loss(real, fake).backward();
  EXPECT_TRUE(real.grad().equal(at::tensor({0.0, -0.25}, at::kDouble)));
  EXPECT_TRUE(fake.grad().equal(at::tensor({0.0, 0.25}, at::kDouble)));
}

TEST(AdversarialLoss, CountsFromTheStartStepOn) {
  EXPECT_EQ(discriminator_factor(9, 10), 0.0);
  EXPECT_EQ(discriminator_factor(10, 10), 1.0);
  EXPECT_EQ(discriminator_factor(10, 0, 0.5), 0.5);
}

TEST(LeCam, UsesTheAveragesOfTheStepsBefore) {
  LeCam lecam(0.9);
  // Step 1, averages 0: relu(2 - 0)^2 + relu(0 - (-1))^2.
  EXPECT_NEAR(lecam(logits(2.0), logits(-1.0)).item<float>(), 5.0, 1e-6);
  EXPECT_EQ(lecam.real_average.item<float>(), 0.0);
  lecam.commit();
  EXPECT_NEAR(lecam.real_average.item<float>(), 0.2, 1e-6);
  EXPECT_NEAR(lecam.fake_average.item<float>(), -0.1, 1e-6);
  // Step 2: relu(1 - (-0.1))^2 + relu(0.2 - 1)^2.
  EXPECT_NEAR(lecam(logits(1.0), logits(1.0)).item<float>(), 1.21, 1e-6);
  lecam.commit();
  EXPECT_NEAR(lecam.real_average.item<float>(), 0.28, 1e-6);
  EXPECT_NEAR(lecam.fake_average.item<float>(), 0.01, 1e-6);
}

TEST(LeCam, GradientSeesTheAveragesAsConstants) {
  LeCam lecam(0.9);
  lecam(logits(2.0), logits(-1.0));
  lecam.commit();
  const auto real = logits(1.0).requires_grad_(true);
  const auto fake = logits(0.0).requires_grad_(true);
  lecam(real, fake).backward();
  // d/dm relu(m + 0.1)^2 = 2.2 and d/dm relu(0.2 - m)^2 = -0.4, spread over 18 logits.
  EXPECT_NEAR(real.grad().sum().item<float>(), 2.2, 1e-6);
  EXPECT_NEAR(fake.grad().sum().item<float>(), -0.4, 1e-6);
}

TEST(LeCam, AStepThatCameToNothingLeavesNoTrace) {
  LeCam lecam(0.5);
  lecam(logits(4.0), logits(0.0));
  lecam.discard();
  lecam.commit();
  EXPECT_EQ(lecam.real_average.item<float>(), 0.0);
}

TEST(LeCam, AveragesKeepTheirStorage) {
  LeCam lecam(0.5);
  const auto alias = lecam.real_average;
  lecam(logits(4.0), logits(0.0));
  lecam.commit();
  EXPECT_NEAR(alias.item<float>(), 2.0, 1e-6);
  EXPECT_FALSE(alias.requires_grad());
}

}  // namespace
}  // namespace gear::losses
