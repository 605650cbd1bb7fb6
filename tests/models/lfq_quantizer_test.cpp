#include "gear/models/tokenizers/lfq_quantizer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "core/numeric_gradient.h"
#include "dense_readout.h"

// T tokens, D channels, G groups

namespace gear::models {
namespace {

QuantizerConfig lfq_config(int64_t bits) {
  return {.kind = QuantizerKind::kLfq,
          .codebook_size = int64_t{1} << bits,
          .codebook_dim = bits,
          .entropy_temperature = 0.5};
}

QuantizerConfig glfq_config(int64_t bits, int64_t groups) {
  auto config = lfq_config(bits);
  config.kind = QuantizerKind::kGlfq;
  config.groups = groups;
  return config;
}

Tensor double_latent(int64_t channels) {
  torch::manual_seed(8);
  return at::randn({2, channels, 3, 2}, at::kDouble);
}

TEST(LfqQuantizer, SignOfZeroIsMinusOne) {
  LfqQuantizer quantizer(lfq_config(5));
  const auto quantized = quantizer.forward(at::zeros({1, 5, 2, 2}));
  EXPECT_TRUE(quantized.ids.equal(at::zeros({4}, at::kLong)));
  EXPECT_TRUE(quantized.z_q.equal(at::full({1, 5, 2, 2}, -1.0)));
}

TEST(LfqQuantizer, ChannelZeroIsTheLowestBitOfAnId) {
  LfqQuantizer quantizer(lfq_config(5));
  for (int64_t channel = 0; channel < 5; ++channel) {
    auto z = at::full({1, 5, 1, 1}, -0.5);
    z.select(1, channel).fill_(0.5);
    EXPECT_EQ(quantizer.nearest_ids(z).item<int64_t>(), int64_t{1} << channel);
  }
}

TEST(LfqQuantizer, LookupOfAnIdGivesTheSignsOfItsBits) {
  LfqQuantizer quantizer(lfq_config(3));
  const auto codes = quantizer.lookup(at::arange(8, at::kLong));                        // [8, 3]
  EXPECT_TRUE(codes[6].equal(at::where(at::arange(3) > 0, 1.0, -1.0).to(at::kFloat)));  // 6 = 110b
  EXPECT_TRUE(quantizer.nearest_ids(codes.view({8, 3, 1, 1})).equal(at::arange(8, at::kLong)));
}

TEST(LfqQuantizer, CostIsMinusTwiceTheInnerProductWithTheCode) {
  LfqQuantizer quantizer(lfq_config(4));
  const auto z = double_latent(4);
  const auto rows = z.permute({0, 2, 3, 1}).reshape({-1, 4});  // [T, D]
  const auto codes = quantizer.lookup(at::arange(16, at::kLong)).to(at::kDouble);
  EXPECT_TRUE(quantizer.forward(z).costs.matrix().allclose(-2 * rows.matmul(codes.t())));
}

TEST(LfqQuantizer, CommitmentIsBetaTimesTheMeanSquareAndThereIsNoCodebookLoss) {
  LfqQuantizer quantizer(lfq_config(4));
  const auto z = double_latent(4);
  const auto quantized = quantizer.forward(z);
  const auto expected = 0.25 * at::mse_loss(z, at::where(z > 0, 1.0, -1.0).to(at::kDouble));
  EXPECT_FALSE(quantized.losses.codebook.defined());
  EXPECT_DOUBLE_EQ(quantized.losses.commit.item<double>(), expected.item<double>());
  EXPECT_DOUBLE_EQ(quantized.losses.total().item<double>(),
                   (quantized.losses.commit + quantized.losses.entropy).item<double>());
}

TEST(LfqQuantizer, StoresNothing) {
  const LfqQuantizer quantizer(lfq_config(14));
  EXPECT_TRUE(quantizer.parameters().empty());
  EXPECT_TRUE(quantizer.buffers().empty());
}

TEST(LfqQuantizer, GradientsMatchFiniteDifferencesInFloat64) {
  for (const auto& config : {lfq_config(4), glfq_config(6, 2)}) {
    LfqQuantizer quantizer(config);
    const auto z = double_latent(config.codebook_dim).requires_grad_(true);
    const auto weight = at::randn({12 * config.groups, config.num_ids()}, at::kDouble);
    EXPECT_LT(gradient_error([&] { return quantizer.forward(z).losses.commit; }, z), 1e-8);
    EXPECT_LT(gradient_error([&] { return quantizer.forward(z).losses.entropy; }, z), 1e-8);
    const auto soft = [&] {
      return (dense::soft_assignment(quantizer.forward(z).costs.matrix(), 0.7) * weight).sum();
    };
    EXPECT_LT(gradient_error(soft, z), 1e-7);
  }
}

TEST(LfqQuantizer, PassesTheDecoderGradientStraightToTheLatent) {
  LfqQuantizer quantizer(lfq_config(4));
  const auto z = double_latent(4).requires_grad_(true);
  const auto weight = at::randn({2, 4, 3, 2}, at::kDouble);
  (quantizer.forward(z).z_q * weight).sum().backward();
  EXPECT_TRUE(z.grad().equal(weight));
}

TEST(GroupedLfqQuantizer, TreatsEveryGroupAsAQuantizerOfItsOwn) {
  LfqQuantizer grouped(glfq_config(6, 2));
  LfqQuantizer single(lfq_config(3));
  const auto z = double_latent(6);
  const auto quantized = grouped.forward(z);
  double sample = 0.0, average = 0.0, entropy = 0.0;
  for (int64_t group = 0; group < 2; ++group) {
    const auto part = single.forward(z.slice(1, 3 * group, 3 * group + 3));
    EXPECT_TRUE(quantized.ids.view({12, 2}).select(1, group).equal(part.ids));
    EXPECT_TRUE(
        quantized.costs.matrix().view({12, 2, 8}).select(1, group).allclose(part.costs.matrix()));
    sample += part.losses.sample_entropy.item<double>() / 2;
    average += part.losses.average_entropy.item<double>() / 2;
    entropy += part.losses.entropy.item<double>() / 2;
  }
  EXPECT_NEAR(quantized.losses.sample_entropy.item<double>(), sample, 1e-12);
  EXPECT_NEAR(quantized.losses.average_entropy.item<double>(), average, 1e-12);
  EXPECT_NEAR(quantized.losses.entropy.item<double>(), entropy, 1e-12);
}

TEST(GroupedLfqQuantizer, OfTwoToThe32CodesNeedsTheTableOfOneGroupAlone) {
  LfqQuantizer quantizer(glfq_config(32, 4));
  const auto quantized = quantizer.forward(at::randn({1, 32, 2, 2}));
  EXPECT_EQ(quantizer.config().num_ids(), 256);
  EXPECT_EQ(quantized.ids.sizes(), at::IntArrayRef({16}));
  EXPECT_EQ(quantized.costs.matrix().sizes(), at::IntArrayRef({16, 256}));
  EXPECT_EQ(quantizer.lookup(quantized.ids).sizes(), at::IntArrayRef({4, 32}));
}

}  // namespace
}  // namespace gear::models
