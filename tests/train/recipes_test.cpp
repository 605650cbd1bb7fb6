#include <gtest/gtest.h>

#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <torch/utils.h>

#include <cmath>
#include <map>

#include "gear/train/recipe_factory.h"
#include "gear/train/recipes/ar_learner.h"
#include "gear/train/recipes/gear_recipe.h"
#include "gear/train/recipes/micro_batches.h"

namespace gear::train {
namespace {

RunConfig tiny_config() {
  RunConfig config;
  config.run_dir = "unused";
  config.precision = Precision::kFp32;
  config.steps = 10;
  config.data.path = "unused";
  config.data.image_size = 8;
  config.data.batch_size = 4;
  config.data.num_classes = 3;
  config.tokenizer.ch = 32;
  config.tokenizer.ch_mult = {1, 1};
  config.tokenizer.num_res_blocks = 1;
  config.tokenizer.z_channels = 16;
  config.tokenizer.quantizer.codebook_size = 24;
  config.ar.dim = 32;
  config.ar.depth = 2;
  config.ar.heads = 2;
  config.teacher.model = "dinov2-custom";
  config.teacher.custom_dim = 32;
  config.teacher.custom_depth = 1;
  config.teacher.custom_heads = 2;
  config.discriminator.ndf = 8;
  config.discriminator.layers = 1;  // the pictures are too small for three
  config.loss.perceptual = 0.0;
  config.loss.tap = 1;
  config.loss.projector_dim = 32;
  config.optimizer.warmup_steps = 0;
  return config;
}

data::Batch tiny_batch(const RunConfig& config, uint64_t seed) {
  torch::manual_seed(seed);
  const int64_t count = config.data.batch_size / config.optimizer.accumulation;
  data::Batch batch;
  batch.images = at::randint(0, 256, {count, 3, config.data.image_size, config.data.image_size})
                     .to(at::kByte);
  batch.labels = at::randint(0, config.data.num_classes, {count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) batch.sample_ids.push_back(i);
  return batch;
}

std::map<std::string, Tensor> copies(Recipe& recipe) {
  std::map<std::string, Tensor> tensors;
  for (const auto& group : recipe.state()) {
    for (const auto& [name, tensor] : group.tensors) {
      tensors[group.name + "/" + name] = tensor.detach().clone();
    }
  }
  return tensors;
}

TEST(DualReadOut, NextTokenLossGivesTheTokenizerExactlyNoGradient) {
  const RunConfig config = tiny_config();
  auto tokenizer = models::make_tokenizer(config.tokenizer);
  ArNetworks networks{.ar = models::ArModel(config.resolved_ar()),
                      .ar_ema = models::ArModel(config.resolved_ar()),
                      .projector = nullptr};
  ArLearner learner(networks, config);
  const auto batch = tiny_batch(config, 1);
  const auto tokenized = tokenizer->forward(tokenizer_input(batch.images));
  const auto ids = tokenized.quantized.ids.view({batch.labels.size(0), -1});
  learner.backward(ids, batch.labels, {}, 1.0);
  for (const auto& item : tokenizer->named_parameters()) {
    EXPECT_FALSE(item.value().grad().defined()) << item.key();
  }
  EXPECT_TRUE(networks.ar->output->weight.grad().defined()) << "the transformer must learn";
}

TEST(DualReadOut, AlignmentOfTheSoftReadOutReachesTheTokenizerAlone) {
  const RunConfig config = tiny_config();
  torch::manual_seed(3);
  auto tokenizer = models::make_tokenizer(config.tokenizer);
  ArNetworks networks{.ar = models::ArModel(config.resolved_ar()),
                      .ar_ema = models::ArModel(config.resolved_ar()),
                      .projector = models::Projector(32, 32, std::vector<int64_t>{8})};
  ArLearner learner(networks, config);
  const auto batch = tiny_batch(config, 1);
  const auto cost = tokenizer->forward(tokenizer_input(batch.images)).quantized.cost;
  const auto soft = models::soft_assignment(cost, 0.1).view({4, -1, cost.size(1)});
  const auto target = at::ones({4, 16, 8});
  learner.soft_alignment(soft, batch.labels, {target}).backward();
  EXPECT_GT(tokenizer->parameters()[0].grad().abs().sum().item<double>(), 0.0);
  for (const auto& parameter : networks.ar->parameters()) EXPECT_FALSE(parameter.grad().defined());
  for (const auto& parameter : networks.projector->parameters()) {
    EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST(GearRecipe, FirstUpdateOfAWarmUpChangesNoWeight) {
  RunConfig config = tiny_config();
  config.optimizer.warmup_steps = 1;
  auto recipe = make_recipe(config).recipe;
  const auto before = copies(*recipe);
  const auto batch = tiny_batch(config, 2);
  recipe->step({&batch, 1}, {.step = 0, .diagnostics = true});
  const auto after = copies(*recipe);
  for (const std::string prefix : {"tokenizer/", "ar/", "projector/"}) {
    for (const auto& [name, value] : before) {
      if (!name.starts_with(prefix)) continue;
      EXPECT_TRUE(at::equal(value, after.at(name))) << name;
    }
  }
}

TEST(GearRecipe, MicroBatchesAddUpToTheWholeBatch) {
  // Without discriminator and entropy term every loss is a mean over samples.
  RunConfig config = tiny_config();
  config.loss.gan = 0.0;
  config.tokenizer.quantizer.entropy_ratio = 0.0;
  config.ar.token_dropout = config.ar.residual_dropout = config.ar.ffn_dropout = 0.0;
  config.ar.class_dropout = 0.0;
  const auto whole = tiny_batch(config, 5);
  std::vector<data::Batch> halves(2);
  for (int64_t i = 0; i < 2; ++i) {
    halves[static_cast<size_t>(i)] = {.images = whole.images.slice(0, 2 * i, 2 * i + 2),
                                      .labels = whole.labels.slice(0, 2 * i, 2 * i + 2),
                                      .sample_ids = {2 * i, 2 * i + 1}};
  }
  auto one = make_recipe(config).recipe;
  auto two = make_recipe(config).recipe;
  const auto metrics_one = one->step({&whole, 1}, {.step = 0}).host_values();
  const auto metrics_two = two->step(halves, {.step = 0}).host_values();
  ASSERT_EQ(metrics_one.size(), metrics_two.size());
  for (size_t i = 0; i < metrics_one.size(); ++i) {
    EXPECT_EQ(metrics_one[i].first, metrics_two[i].first);
    if (metrics_one[i].first == "avg_entropy") continue;  // of the mean distribution: not a mean
    EXPECT_NEAR(metrics_one[i].second, metrics_two[i].second,
                1e-4 * std::abs(metrics_one[i].second) + 1e-5)
        << metrics_one[i].first;
  }
}

TEST(GearRecipe, ANanIsNamedBeforeAnyWeightChanges) {
  const RunConfig config = tiny_config();
  auto recipe = make_recipe(config).recipe;
  for (auto& group : recipe->state()) {
    if (group.name != "ar") continue;
    const at::NoGradGuard no_grad;
    group.tensors[0].second.fill_(std::nan(""));
  }
  const auto before = copies(*recipe);
  const auto batch = tiny_batch(config, 2);
  try {
    recipe->step({&batch, 1}, {.step = 0});
    FAIL() << "no error";
  } catch (const NonFiniteError& error) {
    EXPECT_NE(std::string(error.what()).find("vq_total"), std::string::npos) << error.what();
  }
  const auto after = copies(*recipe);
  for (const auto& [name, value] : before) {
    if (!name.starts_with("tokenizer/")) continue;
    EXPECT_TRUE(at::equal(value, after.at(name))) << name;
  }
}

TEST(GearRecipe, SwitchesLeaveNetworksOut) {
  RunConfig config = tiny_config();
  config.loss.repa = false;
  config.loss.gan = 0.0;
  auto recipe = make_recipe(config).recipe;
  for (const auto& group : recipe->state()) {
    EXPECT_NE(group.name, "projector");
    EXPECT_NE(group.name, "discriminator");
  }
  const auto batch = tiny_batch(config, 2);
  for (const auto& [name, value] : recipe->step({&batch, 1}, {.step = 0}).host_values()) {
    EXPECT_EQ(name.find("proj_loss"), std::string::npos);
  }
}

}  // namespace
}  // namespace gear::train
