#include "gear/train/recipes/tokenizer_recipe.h"

#include <ATen/ops/allclose.h>
#include <gtest/gtest.h>

#include <cmath>

#include "small_recipe.h"

namespace gear::train {
namespace {

using testing::copies;
using testing::is_running_statistic;
using testing::NamedCopies;
using testing::small_batch;
using testing::small_recipe_config;
using testing::step_metrics;

RunConfig tokenizer_config() { return small_recipe_config(RecipeKind::kTokenizer); }

/// Whether a parameter of the group differs.
bool parameters_differ(const NamedCopies& a, const NamedCopies& b, const std::string& group) {
  for (const auto& [name, value] : a) {
    if (!name.starts_with(group + "/") || is_running_statistic(name)) continue;
    if (!at::equal(value, b.at(name))) return true;
  }
  return false;
}

TEST(TokenizerRecipe, TrainsTokenizerAndDiscriminatorAndAveragesTheTokenizer) {
  RunConfig config = tokenizer_config();
  config.optimizer.ema_decay = 0.75;
  const auto recipe = make_recipe(config).recipe;
  const auto start = copies(*recipe);
  const auto batch = small_batch(config, 1);
  recipe->step({&batch, 1}, {.step = 0});
  const auto first = copies(*recipe);
  recipe->step({&batch, 1}, {.step = 1});
  const auto second = copies(*recipe);
  EXPECT_TRUE(parameters_differ(start, first, "tokenizer"));
  EXPECT_TRUE(parameters_differ(start, first, "discriminator"));
  for (const auto& [name, value] : start) {
    if (!name.starts_with("tokenizer/")) continue;
    const auto average = second.at("tokenizer_ema" + name.substr(name.find('/')));
    const auto expected = 0.75 * (0.75 * value + 0.25 * first.at(name)) + 0.25 * second.at(name);
    EXPECT_TRUE(at::allclose(average, expected, 1e-5, 1e-7)) << name;
  }
}

TEST(TokenizerRecipe, HasNoTransformerAndNoAlignment) {
  const RunConfig config = tokenizer_config();
  const auto recipe = make_recipe(config).recipe;
  EXPECT_TRUE(recipe->sampling_pair(true).ar.is_empty());
  for (const auto& group : recipe->state())
    EXPECT_FALSE(group.name.starts_with("ar")) << group.name;
  const auto metrics =
      step_metrics(*recipe, small_batch(config, 1), {.step = 0, .diagnostics = true});
  EXPECT_FALSE(metrics.contains("proj_loss_vq"));
  EXPECT_EQ(metrics.at("vq_total"), metrics.at("total_loss"));
  EXPECT_GE(metrics.at("avg_entropy_unbiased"), metrics.at("avg_entropy"));
}

TEST(TokenizerRecipe, AdversarialTermsBeginAtGanStart) {
  RunConfig config = tokenizer_config();
  config.loss.gan_start = 1;
  const auto recipe = make_recipe(config).recipe;
  const auto batch = small_batch(config, 2);
  const auto start = copies(*recipe);
  const auto before = step_metrics(*recipe, batch, {.step = 0});
  const auto middle = copies(*recipe);
  const auto after = step_metrics(*recipe, batch, {.step = 1});
  EXPECT_EQ(before.at("disc/discriminator_factor"), 0.0);
  EXPECT_EQ(before.at("disc/gan_loss"), 0.0);
  EXPECT_EQ(before.at("disc/weighted_gan_loss"), 0.0);
  EXPECT_FALSE(parameters_differ(start, middle, "discriminator"));
  EXPECT_EQ(after.at("disc/discriminator_factor"), 1.0);
  EXPECT_NE(after.at("disc/gan_loss"), 0.0);
  EXPECT_TRUE(parameters_differ(middle, copies(*recipe), "discriminator"));
}

TEST(TokenizerRecipe, GanFactorScalesBothAdversarialLosses) {
  RunConfig config = tokenizer_config();
  const auto batch = small_batch(config, 3);
  const auto whole = step_metrics(*make_recipe(config).recipe, batch, {.step = 0});
  config.loss.gan_factor = 0.5;
  const auto half = step_metrics(*make_recipe(config).recipe, batch, {.step = 0});
  EXPECT_EQ(half.at("disc/discriminator_factor"), 0.5);
  EXPECT_EQ(half.at("disc/gan_loss"), whole.at("disc/gan_loss"));
  EXPECT_FLOAT_EQ(static_cast<float>(half.at("disc/weighted_gan_loss")),
                  static_cast<float>(0.5 * whole.at("disc/weighted_gan_loss")));
  EXPECT_FLOAT_EQ(static_cast<float>(half.at("disc/d_loss")),
                  static_cast<float>(0.5 * whole.at("disc/d_loss")));
}

TEST(TokenizerRecipe, OfGanWeightZeroStillTrainsADiscriminatorThatIsThere) {
  RunConfig config = tokenizer_config();
  config.loss.gan = 0.0;
  TokenizerRecipe with_critic(testing::small_tokenizer_networks(config), config);
  auto networks = testing::small_tokenizer_networks(config);
  networks.discriminator = nullptr;
  TokenizerRecipe without(networks, config);
  const auto batch = small_batch(config, 4);
  const auto start = copies(with_critic);
  const auto metrics = step_metrics(with_critic, batch, {.step = 0});
  without.step({&batch, 1}, {.step = 0});
  EXPECT_EQ(metrics.at("disc/gan_loss"), 0.0);
  EXPECT_EQ(metrics.at("disc/weighted_gan_loss"), 0.0);
  EXPECT_GT(metrics.at("disc/d_loss"), 0.0);
  const auto end = copies(with_critic);
  EXPECT_TRUE(parameters_differ(start, end, "discriminator"));
  EXPECT_FALSE(parameters_differ(copies(without), end, "tokenizer"));
}

TEST(TokenizerRecipe, LecamAveragesAreStateAndGoOnWhereTheyWere) {
  RunConfig config = tokenizer_config();
  config.loss.lecam = 0.3;
  config.loss.lecam_decay = 0.75;
  const auto run = make_recipe(config).recipe;
  const auto batch = small_batch(config, 5);
  const auto first = step_metrics(*run, batch, {.step = 0});
  const auto middle = copies(*run);
  EXPECT_NEAR(middle.at("lecam/real").item<double>(), 0.25 * first.at("disc/logits_real"), 1e-6);
  EXPECT_NEAR(middle.at("lecam/fake").item<double>(), 0.25 * first.at("disc/logits_fake"), 1e-6);

  config.seed = 99;  // other initial weights: everything must come from the state
  const auto restored = make_recipe(config).recipe;
  for (const auto& group : restored->state()) {
    for (const auto& [name, tensor] : group.tensors) {
      tensor.detach().copy_(middle.at(group.name + "/" + name));
    }
  }
  const auto expected = step_metrics(*run, batch, {.step = 1});
  const auto found = step_metrics(*restored, batch, {.step = 1});
  EXPECT_EQ(found.at("disc/lecam_loss"), expected.at("disc/lecam_loss"));
  EXPECT_NE(expected.at("disc/lecam_loss"), first.at("disc/lecam_loss"));
  const auto end = copies(*restored);
  for (const auto& [name, value] : copies(*run))
    EXPECT_TRUE(at::equal(end.at(name), value)) << name;
}

}  // namespace
}  // namespace gear::train
