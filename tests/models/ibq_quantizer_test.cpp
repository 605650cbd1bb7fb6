#include "gear/models/tokenizers/ibq_quantizer.h"

#include <ATen/ops/mse_loss.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "core/numeric_gradient.h"
#include "dense_readout.h"

// T tokens, K codes, D code width

namespace gear::models {
namespace {

QuantizerConfig ibq_config(bool cosine = false) {
  return {.kind = QuantizerKind::kIbq,
          .codebook_size = 12,
          .codebook_dim = 5,
          .cosine = cosine,
          .entropy_temperature = 0.5};
}

std::shared_ptr<IbqQuantizer> double_quantizer(const QuantizerConfig& config) {
  torch::manual_seed(3);
  auto quantizer = std::make_shared<IbqQuantizer>(config);
  quantizer->to(at::kDouble);
  return quantizer;
}

Tensor double_latent() {
  torch::manual_seed(4);
  return at::randn({2, 5, 3, 2}, at::kDouble);
}

TEST(IbqQuantizer, LossIsTwoAndAQuarterTimesTheMeanSquareAndThereIsNoCommitment) {
  const auto quantizer = double_quantizer(ibq_config());
  const auto z = double_latent();
  const auto quantized = quantizer->forward(z);
  EXPECT_NEAR(quantized.losses.codebook.item<double>(),
              2.25 * at::mse_loss(quantized.z_q, z).item<double>(), 1e-12);
  EXPECT_FALSE(quantized.losses.commit.defined());
}

TEST(IbqQuantizer, QuantisedLatentIsTheCodeToTheLastBit) {
  const auto quantizer = double_quantizer(ibq_config());
  const auto quantized = quantizer->forward(double_latent());
  const auto codes = quantizer->lookup(quantized.ids).view({2, 3, 2, 5}).permute({0, 3, 1, 2});
  EXPECT_TRUE(quantized.z_q.equal(codes));
}

/// The definition, with every [T, K] matrix written out.
struct Written {
  Tensor z_q;   // [T, D]
  Tensor loss;  // codebook loss
};

Written written_out(const Tensor& z, const Tensor& codes, bool cosine, double beta) {
  const auto unit = [](const Tensor& x) { return x / x.norm(2, {-1}, true); };
  const auto rows = z.permute({0, 2, 3, 1}).reshape({-1, codes.size(1)});
  const auto logits = cosine ? unit(rows).matmul(unit(codes).t()) : rows.matmul(codes.t());
  const auto p = at::softmax(logits, 1);
  const auto hard = at::one_hot(p.argmax(1), codes.size(0)).to(at::kDouble);
  const auto z_q = (hard - p.detach() + p).matmul(codes);
  const auto chosen = hard.matmul(codes);
  return {.z_q = z_q,
          .loss = (z_q - rows).square().mean() + (chosen.detach() - rows).square().mean() +
                  beta * (chosen - rows.detach()).square().mean()};
}

class IbqGradient : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(PlainAndCosine, IbqGradient, testing::Bool());

TEST_P(IbqGradient, IsThatOfTheDefinition) {
  const auto quantizer = double_quantizer(ibq_config(GetParam()));
  const auto codes = quantizer->embedding->weight;
  const auto z = double_latent().requires_grad_(true);
  const auto weight = at::randn({2, 5, 3, 2}, at::kDouble);

  const auto quantized = quantizer->forward(z);
  ((quantized.z_q * weight).sum() + quantized.losses.codebook).backward();
  const auto to_z = z.grad().clone();
  const auto to_codes = codes.grad().clone();
  z.mutable_grad() = Tensor();
  codes.mutable_grad() = Tensor();

  const auto expected = written_out(z, codes, GetParam(), 0.25);
  const auto z_q = expected.z_q.view({2, 3, 2, 5}).permute({0, 3, 1, 2});
  ((z_q * weight).sum() + expected.loss).backward();
  EXPECT_TRUE(to_z.allclose(z.grad(), 1e-10, 1e-12));
  EXPECT_TRUE(to_codes.allclose(codes.grad(), 1e-10, 1e-12));
  // Index back-propagation reaches every code, also those that were not chosen.
  EXPECT_GT(to_codes.abs().sum(1).min().item<double>(), 0.0);
}

TEST_P(IbqGradient, OfSoftReadOutAndEntropyMatchesFiniteDifferencesInFloat64) {
  const auto quantizer = double_quantizer(ibq_config(GetParam()));
  Tensor codes = quantizer->embedding->weight;
  const auto z = double_latent().requires_grad_(true);
  const auto weight = at::randn({12, 12}, at::kDouble);
  const auto soft = [&] {
    return (dense::soft_assignment(quantizer->forward(z).costs.matrix(), 0.7) * weight).sum();
  };
  const auto entropy = [&] { return quantizer->forward(z).losses.entropy; };
  for (const Tensor& variable : {z, codes}) {
    EXPECT_LT(gradient_error(soft, variable), 1e-7);
    EXPECT_LT(gradient_error(entropy, variable), 1e-8);
  }
}

TEST(IbqQuantizer, CosineComparesDirectionsButKeepsTheLengthsOfCodes) {
  const auto quantizer = double_quantizer(ibq_config(/*cosine=*/true));
  const auto z = double_latent();
  const auto quantized = quantizer->forward(z);
  EXPECT_TRUE(quantizer->forward(3 * z).costs.matrix().allclose(quantized.costs.matrix()));
  EXPECT_LE(quantized.costs.matrix().abs().max().item<double>(), 1.0 + 1e-12);
  const auto codes = quantizer->embedding->weight.index_select(0, quantized.ids);
  EXPECT_TRUE(quantized.z_q.permute({0, 2, 3, 1}).reshape({-1, 5}).equal(codes));
}

TEST(IbqQuantizer, StartsWithStandardNormalCodes) {
  torch::manual_seed(5);
  const IbqQuantizer quantizer(
      {.kind = QuantizerKind::kIbq, .codebook_size = 4096, .codebook_dim = 16});
  EXPECT_NEAR(quantizer.embedding->weight.std().item<double>(), 1.0, 0.02);
}

}  // namespace
}  // namespace gear::models
