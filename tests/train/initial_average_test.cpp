#include <gtest/gtest.h>

#include "small_recipe.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

using testing::copies;
using testing::small_batch;
using testing::small_recipe_config;

TEST(InitialAverage, OfStageOneIsTheStoredAverageOfStageZero) {
  RunConfig config = small_recipe_config(RecipeKind::kTokenizer);
  config.optimizer.ema_decay = 0.5;
  const auto stage_zero = make_recipe(config).recipe;
  const auto batch = small_batch(config, 1);
  stage_zero->step({&batch, 1}, {.step = 0});
  const testing::TemporaryFolder folder;
  CheckpointStore(folder.path() / "checkpoints", 1)
      .save({.step = 1}, config::dump(config), stage_zero->state());

  config.recipe = RecipeKind::kGear;
  config.seed = 7;
  config.init.from = folder.path();
  const auto found = copies(*make_recipe(config).recipe);
  for (const auto& [name, value] : copies(*stage_zero)) {
    if (name.starts_with("optimizer")) continue;
    EXPECT_TRUE(at::equal(found.at(name), value)) << name;
  }
  EXPECT_FALSE(at::equal(found.at("tokenizer/encoder.conv_in.weight"),
                         found.at("tokenizer_ema/encoder.conv_in.weight")));
}

TEST(InitialAverage, FromScratchIsACopyOfTheInitialWeights) {
  const auto found = copies(*make_recipe(small_recipe_config()).recipe);
  for (const auto& [name, value] : found) {
    for (const std::string group : {"tokenizer", "ar"}) {
      if (!name.starts_with(group + "/")) continue;
      EXPECT_TRUE(at::equal(found.at(group + "_ema" + name.substr(group.size())), value)) << name;
    }
  }
}

}  // namespace
}  // namespace gear::train
