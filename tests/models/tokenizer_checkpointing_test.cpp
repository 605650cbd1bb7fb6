#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "gear/models/tokenizers/tokenizer.h"
#include "gear/nn/autocast.h"
#include "gear/nn/convolution.h"

// B batch, S image side

namespace gear::models {
namespace {

TokenizerConfig small_config(QuantizerKind kind) {
  TokenizerConfig config;
  config.ch = 32;
  config.ch_mult = {1, 2};
  config.num_res_blocks = 1;
  config.z_channels = 32;
  config.quantizer = {.kind = kind, .codebook_size = 16, .codebook_dim = 4};
  if (kind == QuantizerKind::kVq) config.dropout = 0.1;  // the other families have none
  return config;
}

struct StepResult {
  Tensor reconstruction;
  std::vector<Tensor> gradients;
  Tensor next_random;  // what the generator yields afterwards
};

StepResult training_step(TokenizerConfig config, bool activation_checkpointing, bool bf16) {
  config.activation_checkpointing = activation_checkpointing;
  torch::manual_seed(3);
  const auto tokenizer = make_tokenizer(config);
  tokenizer->train();
  const auto images = at::rand({2, 3, 16, 16}).contiguous(at::MemoryFormat::ChannelsLast);
  StepResult result;
  Tensor loss;
  {
    const nn::AutocastScope autocast(at::kCPU, bf16);
    const auto tokenized = tokenizer->forward(images);
    result.reconstruction = tokenized.reconstruction.detach();
    loss = tokenized.reconstruction.square().mean() + tokenized.quantized.losses.total();
  }
  loss.backward();
  result.next_random = at::randn({4});
  for (const auto& parameter : tokenizer->parameters()) {
    result.gradients.push_back(parameter.grad());
  }
  return result;
}

void expect_same_step(const TokenizerConfig& config, bool bf16) {
  const auto plain = training_step(config, false, bf16);
  const auto recomputed = training_step(config, true, bf16);
  EXPECT_TRUE(plain.reconstruction.equal(recomputed.reconstruction));
  EXPECT_TRUE(plain.next_random.equal(recomputed.next_random));
  ASSERT_EQ(plain.gradients.size(), recomputed.gradients.size());
  for (size_t i = 0; i < plain.gradients.size(); ++i) {
    ASSERT_EQ(plain.gradients[i].defined(), recomputed.gradients[i].defined()) << i;
    if (!plain.gradients[i].defined()) continue;
    EXPECT_TRUE(plain.gradients[i].equal(recomputed.gradients[i])) << "parameter " << i;
  }
}

TEST(TokenizerCheckpointing, GivesBitEqualResultsAndGradients) {
  for (const auto kind : {QuantizerKind::kVq, QuantizerKind::kLfq}) {
    for (const bool bf16 : {false, true}) expect_same_step(small_config(kind), bf16);
  }
}

TEST(TokenizerCheckpointing, GivesBitEqualGradientsByWinogradsMethod) {
  nn::set_conv_method(ops::ConvMethod::kWinograd);
  expect_same_step(small_config(QuantizerKind::kVq), /*bf16=*/false);
  nn::set_conv_method(ops::ConvMethod::kDirect);
}

TEST(Convolution, OfATokenizerByWinogradsMethodStaysCloseToTheDirectOne) {
  if (!ops::has_winograd()) GTEST_SKIP() << "no vectors of eight floats on this processor";
  const auto config = small_config(QuantizerKind::kVq);
  const auto direct = training_step(config, false, /*bf16=*/false);
  nn::set_conv_method(ops::ConvMethod::kWinograd);
  const auto winograd = training_step(config, false, /*bf16=*/false);
  nn::set_conv_method(ops::ConvMethod::kDirect);
  EXPECT_FALSE(winograd.reconstruction.equal(direct.reconstruction)) << "it was not used";
  const auto error = (winograd.reconstruction - direct.reconstruction).abs().max();
  EXPECT_LT(error.item<double>(), 1e-5 * direct.reconstruction.abs().max().item<double>());
}

}  // namespace
}  // namespace gear::models
