#include "gear/models/tokenizers/fsq_quantizer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "core/numeric_gradient.h"
#include "dense_readout.h"

// T tokens, K codes, D channels with L values each

namespace gear::models {
namespace {

QuantizerConfig fsq_config(const std::vector<int64_t>& levels) {
  int64_t size = 1;
  for (const int64_t values : levels) size *= values;
  return {.kind = QuantizerKind::kFsq,
          .codebook_size = size,
          .codebook_dim = static_cast<int64_t>(levels.size()),
          .levels = levels,
          .entropy_temperature = 0.5};
}

Tensor double_latent() {
  torch::manual_seed(9);
  return at::randn({2, 3, 3, 2}, at::kDouble);
}

/// The bounding function of the paper for one channel, divided by L / 2 as codes are.
double bounded(double z, int64_t values) {
  const double width = static_cast<double>(values - 1) * 0.999 / 2;
  const double offset = values % 2 == 0 ? 0.5 : 0.0;
  const double range = std::tanh(z + std::tan(offset / width)) * width - offset;
  return range / static_cast<double>(values / 2);
}

TEST(FsqQuantizer, ReachesEveryValueOfAChannelInOrder) {
  for (const int64_t values : {2, 3, 5, 8}) {
    FsqQuantizer quantizer(fsq_config({values}));
    const auto ids = quantizer.nearest_ids(at::linspace(-6, 6, 1000).view({1000, 1, 1, 1}));
    EXPECT_TRUE((ids.diff() >= 0).all().item<bool>()) << values;
    EXPECT_EQ(ids[0].item<int64_t>(), 0) << values;
    EXPECT_EQ(ids[-1].item<int64_t>(), values - 1) << values;
  }
}

TEST(FsqQuantizer, CodesLieBetweenMinusOneAndOneAndIdsCountThemFromChannelZero) {
  FsqQuantizer quantizer(fsq_config({5, 8}));
  const auto codes = quantizer.lookup(at::arange(40, at::kLong));  // [40, 2]
  EXPECT_TRUE(codes[0].equal(at::tensor({-1.0F, -1.0F})));
  EXPECT_TRUE(codes[1].equal(at::tensor({-0.5F, -1.0F})));
  EXPECT_TRUE(codes[5].equal(at::tensor({-1.0F, -0.75F})));
  EXPECT_TRUE(codes[39].equal(at::tensor({1.0F, 0.75F})));
}

TEST(FsqQuantizer, CostIsTheSquaredDistanceFromTheBoundedLatent) {
  const std::vector<int64_t> levels = {5, 8, 2};
  FsqQuantizer quantizer(fsq_config(levels));
  const auto z = double_latent();
  const auto quantized = quantizer.forward(z);
  const auto codes = quantizer.lookup(at::arange(80, at::kLong)).to(at::kDouble);
  const auto row = z.permute({0, 2, 3, 1}).reshape({-1, 3})[7];
  for (const int64_t k : {0, 33, 79}) {
    double expected = 0.0;
    for (int64_t i = 0; i < 3; ++i) {
      const double distance = bounded(row[i].item<double>(), levels[static_cast<size_t>(i)]) -
                              codes[k][i].item<double>();
      expected += distance * distance;
    }
    EXPECT_NEAR(quantized.costs.matrix()[7][k].item<double>(), expected, 1e-12);
  }
  EXPECT_TRUE(quantized.costs.matrix().argmin(1).equal(quantized.ids));
}

TEST(FsqQuantizer, GradientOfTheQuantisedLatentIsThatOfTheBoundingFunction) {
  FsqQuantizer quantizer(fsq_config({5, 8, 2}));
  const auto z = double_latent().requires_grad_(true);
  (quantizer.forward(z).z_q).sum().backward();
  constexpr double kStep = 1e-6;
  const std::vector<int64_t> levels = {5, 8, 2};
  for (int64_t i = 0; i < 3; ++i) {
    const double at_z = z[1][i][2][0].item<double>();
    const int64_t values = levels[static_cast<size_t>(i)];
    const double slope =
        (bounded(at_z + kStep, values) - bounded(at_z - kStep, values)) / (2 * kStep);
    EXPECT_NEAR(z.grad()[1][i][2][0].item<double>(), slope, 1e-8);
  }
}

TEST(FsqQuantizer, GradientsOfSoftReadOutAndEntropyMatchFiniteDifferencesInFloat64) {
  FsqQuantizer quantizer(fsq_config({5, 4, 2}));
  const auto z = double_latent().requires_grad_(true);
  const auto weight = at::randn({12, 40}, at::kDouble);
  const auto soft = [&] {
    return (dense::soft_assignment(quantizer.forward(z).costs.matrix(), 0.7) * weight).sum();
  };
  EXPECT_LT(gradient_error(soft, z), 1e-7);
  EXPECT_LT(gradient_error([&] { return quantizer.forward(z).losses.entropy; }, z), 1e-8);
}

TEST(FsqQuantizer, HasNoLossButEntropyAndStoresNothing) {
  FsqQuantizer quantizer(fsq_config({8, 8, 8}));
  const auto losses = quantizer.forward(double_latent()).losses;
  EXPECT_FALSE(losses.codebook.defined());
  EXPECT_FALSE(losses.commit.defined());
  EXPECT_TRUE(losses.total().equal(losses.entropy));
  EXPECT_TRUE(quantizer.parameters().empty());
  EXPECT_TRUE(quantizer.buffers().empty());
}

}  // namespace
}  // namespace gear::models
