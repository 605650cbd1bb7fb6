#include "gear/models/tokenizers/quantizer.h"

#include <ATen/ops/eye.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "core/numeric_gradient.h"
#include "dense_readout.h"
#include "gear/nn/autocast.h"
#include "models/tokenizers/token_rows.h"

// T tokens, K codes, D code width

namespace gear::models {
namespace {

QuantizerConfig small_config(bool l2_norm = true) {
  return {.codebook_size = 12, .codebook_dim = 4, .l2_norm = l2_norm, .entropy_temperature = 0.5};
}

/// A quantizer in double precision whose codes are far enough apart for finite differences.
std::shared_ptr<Quantizer> double_quantizer(const QuantizerConfig& config) {
  torch::manual_seed(3);
  auto quantizer = make_quantizer(config);
  quantizer->to(at::kDouble);
  const at::NoGradGuard no_grad;
  quantizer->parameters()[0].normal_();
  return quantizer;
}

Tensor double_latent() {
  torch::manual_seed(4);
  return at::randn({2, 4, 3, 2}, at::kDouble);
}

class VqQuantizerGradient : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(OnAndOffTheSphere, VqQuantizerGradient, testing::Bool());

// Stop-gradients are the point of the codebook and commitment losses, so each is compared where it
// is an ordinary function: the first in the codes, the second in the latent.
TEST_P(VqQuantizerGradient, OfEveryLossMatchesFiniteDifferences) {
  const auto quantizer = double_quantizer(small_config(GetParam()));
  Tensor codes = quantizer->parameters()[0];
  const Tensor z = double_latent().requires_grad_(true);
  using Part = std::function<Tensor(const Quantized&)>;
  const auto error = [&](const Part& part, const Tensor& with_respect_to) {
    return gradient_error([&] { return part(quantizer->forward(z)); }, with_respect_to);
  };
  constexpr double kTolerance = 1e-8;
  const Part codebook = [](const Quantized& q) { return q.losses.codebook; };
  const Part commit = [](const Quantized& q) { return q.losses.commit; };
  const Part entropy = [](const Quantized& q) { return q.losses.entropy; };
  EXPECT_LT(error(codebook, codes), kTolerance);
  EXPECT_LT(error(commit, z), kTolerance);
  EXPECT_LT(error(entropy, z), kTolerance);
  EXPECT_LT(error(entropy, codes), kTolerance);
}

TEST_P(VqQuantizerGradient, OfTheSoftReadOutMatchesFiniteDifferences) {
  const auto quantizer = double_quantizer(small_config(GetParam()));
  Tensor codes = quantizer->parameters()[0];
  const Tensor z = double_latent().requires_grad_(true);
  const Tensor weight = at::randn({12, 12}, at::kDouble);
  const auto value = [&] {
    return (dense::soft_assignment(quantizer->forward(z).costs.matrix(), 0.7) * weight).sum();
  };
  EXPECT_LT(gradient_error(value, z), 1e-7);
  EXPECT_LT(gradient_error(value, codes), 1e-7);
}

TEST(VqQuantizer, PassesTheDecoderGradientStraightToTheLatent) {
  const auto quantizer = double_quantizer(small_config(/*l2_norm=*/false));
  const Tensor z = double_latent().requires_grad_(true);
  const Tensor weight = at::randn({2, 4, 3, 2}, at::kDouble);
  (quantizer->forward(z).z_q * weight).sum().backward();
  EXPECT_TRUE(z.grad().equal(weight));
  EXPECT_FALSE(quantizer->parameters()[0].grad().defined());
}

TEST(VqQuantizer, CodebookLossLeavesTheLatentAndCommitmentLeavesTheCodes) {
  const auto quantizer = double_quantizer(small_config());
  const Tensor z = double_latent().requires_grad_(true);
  quantizer->forward(z).losses.codebook.backward();
  EXPECT_FALSE(z.grad().defined());
  quantizer->zero_grad();
  quantizer->forward(z).losses.commit.backward();
  EXPECT_FALSE(quantizer->parameters()[0].grad().defined());
}

TEST(VqQuantizer, CommitmentIsBetaTimesTheCodebookLoss) {
  auto config = small_config();
  config.commit_weight = 0.25;
  const auto losses = double_quantizer(config)->forward(double_latent()).losses;
  EXPECT_DOUBLE_EQ(losses.commit.item<double>(), 0.25 * losses.codebook.item<double>());
}

TEST(VqQuantizer, EntropyLossIsRatioTimesTheDifferenceOfTheEntropies) {
  auto config = small_config();
  config.entropy_ratio = 0.05;
  const auto losses = double_quantizer(config)->forward(double_latent()).losses;
  const double difference =
      losses.sample_entropy.item<double>() - losses.average_entropy.item<double>();
  EXPECT_DOUBLE_EQ(losses.entropy.item<double>(), 0.05 * difference);
}

TEST(VqQuantizer, HasNoLossesInEvaluation) {
  const auto quantizer = double_quantizer(small_config());
  quantizer->eval();
  EXPECT_FALSE(quantizer->forward(double_latent()).losses.codebook.defined());
}

TEST(VqQuantizer, BreaksTiesTowardsTheLowestIndex) {
  const auto quantizer = double_quantizer(small_config());
  {
    const at::NoGradGuard no_grad;
    Tensor codes = quantizer->parameters()[0];
    codes.copy_(codes[5].clone().expand_as(codes));  // all codes alike
  }
  EXPECT_EQ(quantizer->forward(double_latent()).ids.max().item<int64_t>(), 0);
  EXPECT_EQ(quantizer->nearest_ids(double_latent()).max().item<int64_t>(), 0);
}

TEST(VqQuantizer, IdsAloneAgreeWithForwardAndLookupGivesTheCodesOfForward) {
  torch::manual_seed(5);
  // More tokens than one block of nearest_ids holds.
  const auto quantizer = make_quantizer({.codebook_size = 16384, .codebook_dim = 4});
  quantizer->eval();
  const Tensor z = at::randn({2, 4, 12, 13});
  const at::NoGradGuard no_grad;
  const auto quantized = quantizer->forward(z);
  EXPECT_TRUE(quantizer->nearest_ids(z).equal(quantized.ids));
  const Tensor codes = quantizer->lookup(quantized.ids).view({2, 12, 13, 4}).permute({0, 3, 1, 2});
  EXPECT_TRUE(codes.allclose(quantized.z_q, 0, 1e-6));
}

TEST(VqQuantizer, TokensAreInBatchRowColumnOrder) {
  const auto quantizer = double_quantizer(small_config());
  const Tensor z = double_latent();
  const auto ids = quantizer->nearest_ids(z).view({2, 3, 2});
  const auto one = quantizer->nearest_ids(
      z.slice(0, 1, 2).slice(2, 2, 3).slice(3, 1, 2));  // image 1, row 2, column 1
  EXPECT_EQ(one.item<int64_t>(), (ids[1][2][1].item<int64_t>()));
}

TEST(VqQuantizer, StartsWithUnitRowsUnderTheSphereAndSmallOnesWithout) {
  const auto unit = make_quantizer(small_config())->parameters()[0].norm(2, {-1}, false);
  EXPECT_TRUE(unit.allclose(at::ones_like(unit)));
  const auto plain = make_quantizer(small_config(false))->parameters()[0];
  EXPECT_LE(plain.abs().max().item<double>(), 1.0 / 12);
}

TEST(VqQuantizer, StaysInFloat32UnderAutocast) {
  torch::manual_seed(6);
  const auto quantizer = make_quantizer({.codebook_size = 64, .codebook_dim = 8});
  const Tensor z = at::randn({1, 8, 4, 4}).to(at::kBFloat16);
  const Tensor expected = quantizer->forward(z.to(at::kFloat)).costs.matrix();
  const nn::AutocastScope mixed(at::kCPU, true);
  const auto quantized = quantizer->forward(z);
  EXPECT_EQ(quantized.costs.matrix().scalar_type(), at::kFloat);
  EXPECT_TRUE(quantized.costs.matrix().equal(expected));
}

TEST(VqQuantizer, KeepsTheMemoryFormatOfTheLatent) {
  const auto quantizer = make_quantizer({.codebook_size = 64, .codebook_dim = 8});
  const Tensor z = at::randn({2, 8, 4, 4});
  EXPECT_TRUE(quantizer->forward(z).z_q.is_contiguous());
  EXPECT_TRUE(quantizer->forward(z.contiguous(at::MemoryFormat::ChannelsLast))
                  .z_q.is_contiguous(at::MemoryFormat::ChannelsLast));
}

QuantizerLosses entropies(const Tensor& left, const Tensor& right) {
  const QuantizerConfig config;
  return entropy_losses({read_codes({.left = left, .right = right}, config, true)}, config,
                        dist::World());
}

TEST(EntropyLosses, OfUniformAssignmentsAreLnKAndItsFlooredValue) {
  constexpr int64_t kCodes = 16384;
  const auto losses = entropies(at::zeros({3, 1}), at::zeros({kCodes, 1}));
  EXPECT_NEAR(losses.sample_entropy.item<double>(), std::log(kCodes), 1e-4);
  // -ln(1/K + 1e-5): the floor is not small beside 1/K.
  EXPECT_NEAR(losses.average_entropy.item<double>(), 9.552, 5e-4);
  EXPECT_NEAR(losses.average_entropy_unbiased.item<double>(), std::log(kCodes), 1e-4);
}

TEST(EntropyLosses, OfSureAndEvenAssignmentsAreZeroAndLnK) {
  const auto losses = entropies(10 * (1 - at::eye(8)), at::eye(8));  // token k to code k
  EXPECT_NEAR(losses.sample_entropy.item<double>(), 0.0, 1e-6);
  EXPECT_NEAR(losses.average_entropy.item<double>(), std::log(8.0), 1e-3);
  EXPECT_NEAR(losses.average_entropy_unbiased.item<double>(), std::log(8.0), 1e-6);
}

TEST(EntropyLosses, OfGroupsAreTheirMeans) {
  const QuantizerConfig config;
  const auto even =
      read_codes({.left = at::zeros({3, 1}), .right = at::zeros({8, 1})}, config, true);
  const auto sure = read_codes({.left = 10 * (1 - at::eye(8)), .right = at::eye(8)}, config, true);
  const auto both = entropy_losses({even, sure}, config, dist::World());
  EXPECT_NEAR(both.sample_entropy.item<double>(), std::log(8.0) / 2, 1e-6);
  EXPECT_NEAR(both.average_entropy_unbiased.item<double>(), std::log(8.0), 1e-6);
}

}  // namespace
}  // namespace gear::models
