#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "gear/models/ar/ar_model.h"
#include "gear/nn/autocast.h"

namespace gear::models {
namespace {

struct StepResult {
  Tensor logits, tap_hidden;
  std::vector<Tensor> gradients;
  Tensor next_random;  // what the generator yields afterwards
};

StepResult training_step(bool activation_checkpointing, bool bf16) {
  ArConfig config;
  config.dim = 32;
  config.depth = 3;
  config.heads = 2;
  config.ffn_multiple_of = 16;
  config.drop_path = 0.2;
  config.vocab_size = 20;
  config.num_tokens = 16;
  config.num_classes = 4;
  config.activation_checkpointing = activation_checkpointing;
  torch::manual_seed(5);
  ArModel model(config);
  {
    const at::NoGradGuard no_grad;
    model->output->weight.normal_(0.0, 0.1);
  }
  const auto targets = at::randint(config.vocab_size, {3, 16}, at::kLong);
  const auto labels = at::tensor({0, 1, 4}, at::kLong);
  StepResult result;
  Tensor loss;
  {
    const nn::AutocastScope autocast(at::kCPU, bf16);
    const auto output =
        model->forward(labels, model->embed_ids(targets.narrow(1, 0, 15)), {.tap = 2});
    result.logits = output.logits.detach();
    result.tap_hidden = output.tap_hidden.detach();
    loss = at::cross_entropy_loss(output.logits.flatten(0, 1), targets.flatten()) +
           output.tap_hidden.square().mean();
  }
  loss.backward();
  result.next_random = at::randn({4});
  for (const auto& parameter : model->parameters()) {
    result.gradients.push_back(parameter.grad());
  }
  return result;
}

TEST(ActivationCheckpointing, GivesBitEqualResultsAndGradients) {
  for (const bool bf16 : {false, true}) {
    const auto plain = training_step(false, bf16);
    const auto recomputed = training_step(true, bf16);
    EXPECT_TRUE(plain.logits.equal(recomputed.logits));
    EXPECT_TRUE(plain.tap_hidden.equal(recomputed.tap_hidden));
    EXPECT_TRUE(plain.next_random.equal(recomputed.next_random));
    ASSERT_EQ(plain.gradients.size(), recomputed.gradients.size());
    for (size_t i = 0; i < plain.gradients.size(); ++i) {
      EXPECT_TRUE(plain.gradients[i].equal(recomputed.gradients[i])) << "parameter " << i;
    }
  }
}

TEST(ActivationCheckpointing, FrozenNetworkStillPassesGradientsToItsInput) {
  ArConfig config;
  config.dim = 32;
  config.depth = 2;
  config.heads = 2;
  config.vocab_size = 20;
  config.num_tokens = 4;
  config.num_classes = 4;
  torch::manual_seed(6);
  const auto input = at::randn({2, 3, 32});
  const auto labels = at::tensor({0, 1}, at::kLong);
  const auto run = [&](bool activation_checkpointing) {
    config.activation_checkpointing = activation_checkpointing;
    torch::manual_seed(7);
    ArModel model(config);
    model->eval();
    for (auto& parameter : model->parameters()) parameter.requires_grad_(false);
    const auto x = input.clone().requires_grad_();
    model->forward(labels, x, {.tap = 2, .early_exit = true}).tap_hidden.square().sum().backward();
    for (const auto& parameter : model->parameters()) EXPECT_FALSE(parameter.grad().defined());
    return x.grad();
  };
  EXPECT_TRUE(run(false).equal(run(true)));
}

}  // namespace
}  // namespace gear::models
