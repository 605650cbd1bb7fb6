#include "gear/train/recipes/ar_recipe.h"

#include <ATen/ops/allclose.h>
#include <gtest/gtest.h>

#include "small_recipe.h"

namespace gear::train {
namespace {

using testing::copies;
using testing::small_batch;
using testing::small_recipe_config;
using testing::step_metrics;

RunConfig ar_config() { return small_recipe_config(RecipeKind::kAr); }

TEST(ArRecipe, LeavesTheTokenizerUntouchedAndInEvaluation) {
  const RunConfig config = ar_config();
  const auto recipe = make_recipe(config).recipe;
  const auto start = copies(*recipe);
  for (int64_t step = 0; step < 3; ++step) {
    const auto batch = small_batch(config, static_cast<uint64_t>(step));
    recipe->step({&batch, 1}, {.step = step});
  }
  const auto tokenizer = recipe->sampling_pair(/*ema=*/true).tokenizer;
  EXPECT_FALSE(tokenizer->is_training());
  for (const auto& parameter : tokenizer->parameters()) {
    EXPECT_FALSE(parameter.requires_grad() || parameter.grad().defined());
  }
  const auto end = copies(*recipe);
  int64_t tensors = 0;
  for (const auto& [name, value] : start) {
    if (!name.starts_with("tokenizer/")) continue;
    EXPECT_TRUE(at::equal(end.at(name), value)) << name;
    ++tensors;
  }
  EXPECT_GT(tensors, 0);
  EXPECT_FALSE(at::equal(start.at("ar/output.weight"), end.at("ar/output.weight")));
  EXPECT_FALSE(
      at::equal(start.at("projector/projs.0.0.weight"), end.at("projector/projs.0.0.weight")));
}

TEST(ArRecipe, WithoutRepaTrainsOnTheNextTokenAlone) {
  RunConfig config = ar_config();
  config.loss.repa = false;
  const auto recipe = make_recipe(config).recipe;
  for (const auto& group : recipe->state()) EXPECT_NE(group.name, "projector");
  const auto metrics =
      step_metrics(*recipe, small_batch(config, 1), {.step = 0, .diagnostics = true});
  EXPECT_FALSE(metrics.contains("proj_loss_ar"));
  EXPECT_EQ(metrics.at("ar_total"), metrics.at("ce_loss"));
}

TEST(ArRecipe, WithRepaAddsTheWeightedAlignment) {
  RunConfig config = ar_config();
  config.loss.align_ar = 0.25;
  const auto metrics =
      step_metrics(*make_recipe(config).recipe, small_batch(config, 1), {.step = 0});
  EXPECT_NEAR(metrics.at("ar_total"), metrics.at("ce_loss") + 0.25 * metrics.at("proj_loss_ar"),
              1e-6);
}

TEST(ArRecipe, AveragesTheTransformerAfterEveryUpdate) {
  RunConfig config = ar_config();
  config.optimizer.ema_decay = 0.75;
  const auto recipe = make_recipe(config).recipe;
  const auto start = copies(*recipe);
  const auto batch = small_batch(config, 1);
  recipe->step({&batch, 1}, {.step = 0});
  const auto first = copies(*recipe);
  recipe->step({&batch, 1}, {.step = 1});
  const auto second = copies(*recipe);
  for (const auto& [name, value] : start) {
    if (!name.starts_with("ar/")) continue;
    const auto average = second.at("ar_ema" + name.substr(name.find('/')));
    const auto expected = 0.75 * (0.75 * value + 0.25 * first.at(name)) + 0.25 * second.at(name);
    EXPECT_TRUE(at::allclose(average, expected, 1e-5, 1e-7)) << name;
  }
}

}  // namespace
}  // namespace gear::train
