#include <ATen/ops/allclose.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gear/losses/next_token.h"
#include "gear/train/recipes/micro_batches.h"
#include "small_recipe.h"

namespace gear::train {
namespace {

using testing::copies;
using testing::expect_same_bits;
using testing::fill_output_layer;
using testing::NamedCopies;
using testing::small_batch;
using testing::small_recipe_config;
using testing::step_metrics;

TEST(DualReadOut, NextTokenLossWouldReachTheEncoderThroughStraightThroughTokens) {
  // The control of the tests below: soft tokens would carry the next-token loss into the tokenizer.
  const RunConfig config = small_recipe_config();
  const auto tokenizer = testing::small_tokenizer_networks(config).tokenizer;
  auto ar = testing::small_ar_networks(config, 8).ar;
  ar->output->weight.detach().normal_(0.0, 0.2);
  const auto batch = small_batch(config, 1);
  const auto quantized = tokenizer->forward(tokenizer_input(batch.images)).quantized;
  const auto tokens = ar->embed_soft(
      quantized.costs, {.temperature = config.loss.temperature, .straight_through = true});
  const auto inputs = tokens.view({4, 16, -1}).slice(1, 0, 15);
  const auto features = ar->forward(batch.labels, inputs, {.head = false}).features;
  losses::next_token_loss(features, ar->output->weight, quantized.ids.view({4, 16})).backward();
  EXPECT_GT(
      tokenizer->named_parameters()["encoder.conv_in.weight"].grad().abs().sum().item<double>(),
      0.0);
}

TEST(DualReadOut, WithoutAlignmentTheJointRecipeTrainsTheTokenizerAsTheTokenizerRecipeDoes) {
  RunConfig config = small_recipe_config(RecipeKind::kGear);
  config.loss.align_tokenizer = 0.0;
  const auto joint = make_recipe(config).recipe;
  fill_output_layer(*joint);
  config.recipe = RecipeKind::kTokenizer;
  const auto alone = make_recipe(config).recipe;
  for (int64_t step = 0; step < 2; ++step) {
    const auto batch = small_batch(config, 20 + static_cast<uint64_t>(step));
    joint->step({&batch, 1}, {.step = step});
    alone->step({&batch, 1}, {.step = step});
    expect_same_bits(copies(*joint), copies(*alone),
                     {"tokenizer/", "tokenizer_ema/", "optimizer_tokenizer/", "discriminator/",
                      "optimizer_discriminator/"});
  }
}

TEST(DualReadOut, WithoutAlignmentNeitherTransformerNorLabelsReachTheTokenizer) {
  RunConfig config = small_recipe_config();
  config.loss.align_tokenizer = 0.0;
  const auto one = make_recipe(config).recipe;
  const auto other = make_recipe(config).recipe;
  fill_output_layer(*one);
  for (const auto& group : other->state()) {
    if (group.name != "ar") continue;
    for (const auto& [name, tensor] : group.tensors) tensor.detach().normal_(0.0, 0.3);
  }
  auto batch = small_batch(config, 3);
  one->step({&batch, 1}, {.step = 0});
  batch.labels = (batch.labels + 1) % config.data.num_classes;
  other->step({&batch, 1}, {.step = 0});
  const auto expected = copies(*one);
  expect_same_bits(copies(*other), expected, {"optimizer_tokenizer/exp_avg."});
  EXPECT_FALSE(at::equal(copies(*other).at("optimizer_ar/exp_avg.ar.norm.weight"),
                         expected.at("optimizer_ar/exp_avg.ar.norm.weight")));
}

TEST(DualReadOut, WhatStandsBehindTheTapNeverReachesTheTokenizer) {
  const RunConfig config = small_recipe_config();
  ASSERT_GT(config.loss.align_tokenizer, 0.0);
  const auto one = make_recipe(config).recipe;
  const auto other = make_recipe(config).recipe;
  fill_output_layer(*other);
  testing::live_tensor(*other, "ar/norm.weight").detach().fill_(3.0);
  testing::live_tensor(*other, "ar/layers.1.attention.wo.weight").detach().fill_(0.1);
  const auto batch = small_batch(config, 4);
  one->step({&batch, 1}, {.step = 0});
  other->step({&batch, 1}, {.step = 0});
  expect_same_bits(copies(*other), copies(*one), {"optimizer_tokenizer/exp_avg."});
}

TEST(DualReadOut, AlignmentOfTheSoftReadOutReachesTheTokenizerAlone) {
  const RunConfig config = small_recipe_config();
  const auto tokenizer = testing::small_tokenizer_networks(config).tokenizer;
  const ArNetworks networks = testing::small_ar_networks(config, 8);
  ArLearner learner(networks, config);
  const auto batch = small_batch(config, 1);
  const auto quantized = tokenizer->forward(tokenizer_input(batch.images)).quantized;
  const auto target = at::ones({4, 16, 8});
  learner.soft_alignment(quantized.costs, batch.labels, {target}).backward();
  EXPECT_GT(tokenizer->parameters()[0].grad().abs().sum().item<double>(), 0.0);
  for (const auto& parameter : networks.ar->parameters()) EXPECT_FALSE(parameter.grad().defined());
  for (const auto& parameter : networks.projector->parameters()) {
    EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST(GearRecipe, AlignmentOfWeightZeroIsLoggedAndTrainsNothing) {
  RunConfig config = small_recipe_config();
  const auto batch = small_batch(config, 6);
  const StepContext logging{.step = 0, .diagnostics = true};
  const auto weighted = step_metrics(*make_recipe(config).recipe, batch, logging);
  config.loss.align_tokenizer = 0.0;
  const auto logged = make_recipe(config).recipe;
  const auto silent = make_recipe(config).recipe;
  const auto metrics = step_metrics(*logged, batch, logging);
  EXPECT_EQ(metrics.at("proj_loss_vq"), weighted.at("proj_loss_vq"));
  EXPECT_EQ(metrics.at("vq_total"), metrics.at("total_loss"));
  EXPECT_FALSE(step_metrics(*silent, batch, {.step = 0}).contains("proj_loss_vq"));
  const auto expected = copies(*silent);
  expect_same_bits(copies(*logged), expected, {"optimizer_tokenizer/", "tokenizer/", "ar/"});
}

TEST(GearRecipe, FirstUpdateOfAWarmUpChangesNoWeightAndLeavesTheAveragesEqual) {
  RunConfig config = small_recipe_config();
  config.optimizer.warmup_steps = 1;
  const auto recipe = make_recipe(config).recipe;
  const auto before = copies(*recipe);
  const auto batch = small_batch(config, 2);
  recipe->step({&batch, 1}, {.step = 0, .diagnostics = true});
  const auto after = copies(*recipe);
  for (const std::string prefix : {"tokenizer/", "ar/", "projector/", "discriminator/"}) {
    for (const auto& [name, value] : before) {
      if (!name.starts_with(prefix) || testing::is_running_statistic(name)) continue;
      EXPECT_TRUE(at::equal(value, after.at(name))) << name;
    }
  }
  for (const std::string group : {"tokenizer", "ar"}) {
    for (const auto& [name, value] : after) {
      if (!name.starts_with(group + "/")) continue;
      // 0.9999 w + 0.0001 w is w within its last bits.
      const auto average = after.at(group + "_ema" + name.substr(group.size()));
      EXPECT_TRUE(at::allclose(average, value, /*rtol=*/1e-6, /*atol=*/0.0)) << name;
    }
  }
}

TEST(GearRecipe, MicroBatchesAddUpToTheWholeBatch) {
  // Without discriminator and entropy term every loss is a mean over samples.
  RunConfig config = small_recipe_config();
  config.loss.gan = 0.0;
  config.tokenizer.quantizer.entropy_ratio = 0.0;
  config.ar.token_dropout = config.ar.residual_dropout = config.ar.ffn_dropout = 0.0;
  config.ar.class_dropout = 0.0;
  const auto whole = small_batch(config, 5);
  std::vector<data::Batch> halves(2);
  for (int64_t i = 0; i < 2; ++i) {
    halves[static_cast<size_t>(i)] = {.images = whole.images.slice(0, 2 * i, 2 * i + 2),
                                      .labels = whole.labels.slice(0, 2 * i, 2 * i + 2),
                                      .sample_ids = {2 * i, 2 * i + 1}};
  }
  const StepContext context{.step = 0, .diagnostics = true};
  const auto metrics_one = make_recipe(config).recipe->step({&whole, 1}, context).host_values();
  const auto metrics_two = make_recipe(config).recipe->step(halves, context).host_values();
  ASSERT_EQ(metrics_one.size(), metrics_two.size());
  for (size_t i = 0; i < metrics_one.size(); ++i) {
    const auto& [name, value] = metrics_one[i];
    EXPECT_EQ(name, metrics_two[i].first);
    if (name.starts_with("avg_entropy")) continue;  // of the mean distribution: not a mean
    EXPECT_NEAR(value, metrics_two[i].second, 1e-4 * std::abs(value) + 1e-5) << name;
  }
}

TEST(GearRecipe, EffectiveSizeOfAccumulatedBatchesIsTheExponentialOfTheMeanEntropy) {
  RunConfig config = small_recipe_config();
  std::vector<data::Batch> halves = {small_batch(config, 7), small_batch(config, 8)};
  // One colour: all tokens of the second half are nearly alike, so its entropy is another.
  halves[1].images = at::full_like(halves[1].images, 255);
  const auto recipe = make_recipe(config).recipe;
  const auto values = recipe->step(halves, {.step = 0, .diagnostics = true}).host_values();
  const std::map<std::string, double> metrics(values.begin(), values.end());
  const auto size_of = [&](const std::string& entropy) { return std::exp(metrics.at(entropy)); };
  EXPECT_NEAR(metrics.at("codebook/effective_size") / size_of("codebook/natural_entropy_nats"), 1.0,
              1e-6);
  EXPECT_NEAR(metrics.at("soft/effective_size") / size_of("soft/entropy_nats"), 1.0, 1e-6);
}

TEST(GearRecipe, SwitchesLeaveNetworksOut) {
  RunConfig config = small_recipe_config();
  config.loss.repa = false;
  config.loss.gan = 0.0;
  const auto recipe = make_recipe(config).recipe;
  for (const auto& group : recipe->state()) {
    EXPECT_NE(group.name, "projector");
    EXPECT_NE(group.name, "discriminator");
  }
  const auto batch = small_batch(config, 2);
  for (const auto& [name, value] : step_metrics(*recipe, batch, {.step = 0, .diagnostics = true})) {
    EXPECT_EQ(name.find("proj_loss"), std::string::npos);
  }
}

TEST(Recipes, AStepInBfloat16GivesLossesNearThoseOfFloat32) {
  // bfloat16 keeps 8 bits; codes of tokens between two of them may differ, so a tenth is allowed.
  for (const RecipeKind kind : {RecipeKind::kTokenizer, RecipeKind::kGear, RecipeKind::kAr}) {
    RunConfig config = small_recipe_config(kind);
    config.ar.class_dropout = config.ar.token_dropout = 0.0;
    config.ar.residual_dropout = config.ar.ffn_dropout = 0.0;
    const auto batch = small_batch(config, 9);
    const auto metrics_in = [&](Precision precision) {
      config.precision = precision;
      const auto recipe = make_recipe(config).recipe;
      if (kind != RecipeKind::kTokenizer) fill_output_layer(*recipe);
      auto metrics = step_metrics(*recipe, batch, {.step = 0});
      for (const auto& [name, value] : copies(*recipe)) {
        EXPECT_TRUE(value.isfinite().all().item<bool>()) << name;
        EXPECT_NE(value.scalar_type(), at::kBFloat16) << name;
      }
      return metrics;
    };
    const auto expected = metrics_in(Precision::kFp32);
    const auto found = metrics_in(Precision::kBf16);
    for (const std::string name : {"reconstruction_loss", "vq_total", "disc/d_loss", "ce_loss",
                                   "proj_loss_vq", "proj_loss_ar", "ar_total"}) {
      if (!expected.contains(name)) continue;
      EXPECT_NE(found.at(name), expected.at(name)) << name << ": was bfloat16 used at all?";
      EXPECT_NEAR(found.at(name), expected.at(name), 0.1 * std::abs(expected.at(name)) + 0.01)
          << name;
    }
  }
}

}  // namespace
}  // namespace gear::train
