#include <ATen/ops/one_hot.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include "dense_readout.h"
#include "families.h"
#include "gear/nn/autocast.h"

// What the Quantizer contract promises, for every family.
// B batch, h w token grid, T tokens, K codes, D code width

namespace gear::models {
namespace {

class QuantizerContract : public testing::TestWithParam<Family> {
 protected:
  QuantizerContract() {
    torch::manual_seed(11);
    quantizer_ = make_quantizer(GetParam().config.quantizer);
    z_ = at::randn({2, quantizer_->config().codebook_dim, 5, 3});
  }

  std::shared_ptr<Quantizer> quantizer_;
  Tensor z_;
};
INSTANTIATE_TEST_SUITE_P(Families, QuantizerContract, testing::ValuesIn(families()), family_name);

TEST_P(QuantizerContract, SoftAssignmentIsLargestAtTheHardIndex) {
  const auto quantized = quantizer_->forward(z_);
  EXPECT_TRUE(dense::soft_assignment(quantized.costs.matrix(), 0.1).argmax(1).equal(quantized.ids));
  EXPECT_EQ(quantized.costs.matrix().size(1), quantizer_->config().num_ids());
}

TEST_P(QuantizerContract, StraightThroughReadOutIsTheOneHotOfTheIds) {
  const auto quantized = quantizer_->forward(z_);
  const auto hard = dense::straight_through_assignment(
      dense::soft_assignment(quantized.costs.matrix(), 0.1), quantized.ids);
  EXPECT_TRUE(hard.equal(at::one_hot(quantized.ids, hard.size(1)).to(at::kFloat)));
}

TEST_P(QuantizerContract, StreamedReadOutsOfATableEqualTheDenseOnes) {
  const auto z = z_.requires_grad_(true);
  const auto table = at::randn({quantizer_->config().num_ids(), 4});
  for (const bool straight_through : {false, true}) {
    const auto quantized = quantizer_->forward(z);
    auto assignment = dense::soft_assignment(quantized.costs.matrix(), 0.5);
    if (straight_through) {
      assignment = dense::straight_through_assignment(assignment, quantized.ids);
    }
    const auto expected = assignment.matmul(table);
    const auto read = ops::read_out(quantized.costs, table,
                                    {.temperature = 0.5, .straight_through = straight_through})
                          .lookup;
    EXPECT_TRUE(read.allclose(expected, 1e-5, 1e-5));
    const auto to_read = at::randn(read.sizes());
    const auto gradient_of = [&](const Tensor& output) {
      return torch::autograd::grad({(output * to_read).sum()}, {z}, {}, /*retain_graph=*/true)[0];
    };
    EXPECT_TRUE(gradient_of(read).allclose(gradient_of(expected), 1e-4, 1e-5));
  }
}

TEST_P(QuantizerContract, IdsAloneAgreeWithForward) {
  EXPECT_TRUE(quantizer_->nearest_ids(z_).equal(quantizer_->forward(z_).ids));
}

TEST_P(QuantizerContract, LookupOfTheIdsIsTheQuantisedLatent) {
  const auto quantized = quantizer_->forward(z_);
  const auto codes = quantizer_->lookup(quantized.ids).view({2, 5, 3, -1}).permute({0, 3, 1, 2});
  EXPECT_TRUE(codes.allclose(quantized.z_q, 0, 1e-6));  // the straight-through sum rounds
}

TEST_P(QuantizerContract, LossesExistInTrainModeOnly) {
  const auto losses = quantizer_->forward(z_).losses;
  EXPECT_TRUE(losses.entropy.defined());
  EXPECT_TRUE(losses.sample_entropy.defined());
  EXPECT_TRUE(losses.average_entropy.defined());
  EXPECT_TRUE(losses.total().isfinite().item<bool>());
  quantizer_->eval();
  EXPECT_FALSE(quantizer_->forward(z_).losses.total().defined());
}

TEST_P(QuantizerContract, EveryReadOutReachesTheLatent) {
  const auto z = z_.requires_grad_(true);
  for (const bool soft : {true, false}) {
    z.mutable_grad() = Tensor();
    const auto quantized = quantizer_->forward(z);
    const auto read = soft ? dense::soft_assignment(quantized.costs.matrix(), 0.5) : quantized.z_q;
    (read * at::randn(read.sizes())).sum().backward();
    EXPECT_GT(z.grad().abs().sum().item<double>(), 0.0);
  }
}

TEST_P(QuantizerContract, StaysInFloat32UnderAutocast) {
  const auto z = z_.to(at::kBFloat16);
  const auto expected = quantizer_->forward(z.to(at::kFloat));
  const nn::AutocastScope mixed(at::kCPU, true);
  const auto quantized = quantizer_->forward(z);
  EXPECT_EQ(quantized.costs.matrix().scalar_type(), at::kFloat);
  EXPECT_TRUE(quantized.costs.matrix().equal(expected.costs.matrix()));
  EXPECT_TRUE(quantized.z_q.equal(expected.z_q));
  EXPECT_TRUE(quantizer_->nearest_ids(z).equal(expected.ids));
}

TEST_P(QuantizerContract, KeepsTheMemoryFormatOfTheLatent) {
  const auto last = z_.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(quantizer_->forward(z_).z_q.is_contiguous());
  EXPECT_TRUE(quantizer_->forward(last).z_q.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(quantizer_->forward(last).ids.equal(quantizer_->forward(z_).ids));
}

TEST_P(QuantizerContract, TakesASingleImage) {
  const auto quantized = quantizer_->forward(z_);
  const auto one = quantizer_->forward(z_.slice(0, 1, 2));
  EXPECT_TRUE(one.ids.equal(quantized.ids.slice(0, one.ids.size(0))));
}

}  // namespace
}  // namespace gear::models
