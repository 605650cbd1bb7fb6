#include "gear/models/tokenizers/simvq_quantizer.h"

#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "core/numeric_gradient.h"
#include "dense_readout.h"

namespace gear::models {
namespace {

std::shared_ptr<SimVqQuantizer> double_quantizer() {
  torch::manual_seed(3);
  auto quantizer = std::make_shared<SimVqQuantizer>(QuantizerConfig{.kind = QuantizerKind::kSimVq,
                                                                    .codebook_size = 12,
                                                                    .codebook_dim = 4,
                                                                    .entropy_temperature = 0.5});
  quantizer->to(at::kDouble);
  return quantizer;
}

Tensor double_latent() {
  torch::manual_seed(4);
  return at::randn({2, 4, 3, 2}, at::kDouble);
}

// Stop-gradients are the point of the codebook and commitment losses, so each is compared where it
// is an ordinary function: the first in the linear layer, the second in the latent.
TEST(SimVqQuantizer, GradientsMatchFiniteDifferencesInFloat64) {
  const auto quantizer = double_quantizer();
  const auto z = double_latent().requires_grad_(true);
  const auto weight = at::randn({12, 12}, at::kDouble);
  const auto codebook = [&] { return quantizer->forward(z).losses.codebook; };
  const auto commit = [&] { return quantizer->forward(z).losses.commit; };
  const auto entropy = [&] { return quantizer->forward(z).losses.entropy; };
  const auto soft = [&] {
    return (dense::soft_assignment(quantizer->forward(z).costs.matrix(), 0.7) * weight).sum();
  };
  EXPECT_LT(gradient_error(commit, z), 1e-8);
  EXPECT_LT(gradient_error(entropy, z), 1e-8);
  EXPECT_LT(gradient_error(soft, z), 1e-7);
  for (const Tensor& parameter : quantizer->embedding_proj->parameters()) {
    EXPECT_LT(gradient_error(codebook, parameter), 1e-8);
    EXPECT_LT(gradient_error(entropy, parameter), 1e-8);
    EXPECT_LT(gradient_error(soft, parameter), 1e-7);
  }
}

TEST(SimVqQuantizer, CommitmentIsBetaTimesTheCodebookLoss) {
  const auto losses = double_quantizer()->forward(double_latent()).losses;
  EXPECT_DOUBLE_EQ(losses.commit.item<double>(), 0.25 * losses.codebook.item<double>());
}

TEST(SimVqQuantizer, CodesAreTheFrozenTableBehindTheLinearLayer) {
  const auto quantizer = double_quantizer();
  const auto quantized = quantizer->forward(double_latent());
  const auto codes = quantizer->embedding->weight.matmul(quantizer->embedding_proj->weight.t()) +
                     quantizer->embedding_proj->bias;
  EXPECT_TRUE(quantizer->lookup(quantized.ids).allclose(codes.index_select(0, quantized.ids)));
}

TEST(SimVqQuantizer, TrainsTheLinearLayerAloneAndStoresTheTable) {
  const auto quantizer = double_quantizer();
  EXPECT_THAT(quantizer->named_parameters().keys(),
              testing::ElementsAre("embedding_proj.weight", "embedding_proj.bias"));
  EXPECT_THAT(quantizer->named_buffers().keys(), testing::ElementsAre("embedding.weight"));
  EXPECT_THAT(quantizer->constants(), testing::ElementsAre("embedding.weight"));
}

TEST(SimVqQuantizer, TableHasRowsOfUnitLengthOnAverage) {
  torch::manual_seed(5);
  const FrozenTable table(4096, 16);
  EXPECT_NEAR(table->weight.square().sum(1).mean().item<double>(), 1.0, 0.02);
}

}  // namespace
}  // namespace gear::models
