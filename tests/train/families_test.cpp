#include "models/families.h"

#include <gtest/gtest.h>

#include <cmath>

#include "gear/train/checkpoint.h"
#include "io/temporary_folder.h"
#include "small_recipe.h"

// Recipes train every tokenizer family without knowing which one it is.

namespace gear::train {
namespace {

using models::Family;
using testing::copies;
using testing::expect_same_bits;
using testing::small_batch;
using testing::small_recipe_config;
using testing::step_metrics;

RunConfig config_of(const Family& family, RecipeKind recipe) {
  RunConfig config = small_recipe_config(recipe);
  config.tokenizer = family.config;
  config.optimizer.ema_decay = 0.75;
  return config;
}

std::string refusal(const RunConfig& config) {
  const config::Node root;
  try {
    config.check(config::Where(&root, ""));
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class FamilyRecipes : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, FamilyRecipes, ::testing::ValuesIn(models::families()),
                         models::family_name);

TEST_P(FamilyRecipes, TokenizerRecipeTrainsAllButTheConstantsAndReportsEveryTerm) {
  const RunConfig config = config_of(GetParam(), RecipeKind::kTokenizer);
  const auto recipe = make_recipe(config).recipe;
  const auto before = copies(*recipe);
  const auto metrics =
      step_metrics(*recipe, small_batch(config, 1), {.step = 0, .diagnostics = true});
  for (const char* name : {"vq_loss", "commit_loss", "entropy_loss", "sample_entropy",
                           "avg_entropy", "codebook_usage", "codebook/effective_size"}) {
    ASSERT_TRUE(metrics.contains(name)) << name;
    EXPECT_TRUE(std::isfinite(metrics.at(name))) << name;
  }
  EXPECT_NEAR(metrics.at("quantizer_loss"),
              metrics.at("vq_loss") + metrics.at("commit_loss") + metrics.at("entropy_loss"), 1e-5);

  const auto after = copies(*recipe);
  const auto constants = recipe->sampling_pair(/*ema=*/false).tokenizer->constants();
  EXPECT_FALSE(at::equal(before.at("tokenizer/encoder.conv_in.weight"),
                         after.at("tokenizer/encoder.conv_in.weight")));
  for (const std::string& name : constants) {
    EXPECT_TRUE(at::equal(before.at("tokenizer/" + name), after.at("tokenizer/" + name)));
    EXPECT_TRUE(at::equal(before.at("tokenizer/" + name), after.at("tokenizer_ema/" + name)));
  }
}

TEST_P(FamilyRecipes, JointRecipeAlignsBothReadOuts) {
  for (const Readout readout : {Readout::kSoft, Readout::kSte}) {
    RunConfig config = config_of(GetParam(), RecipeKind::kGear);
    config.loss.readout = readout;
    if (config.tokenizer.quantizer.kind == models::QuantizerKind::kGlfq) {
      EXPECT_EQ(refusal(config),
                "tokenizer.quantizer.kind (default): glfq gives every token an id for each of its "
                "groups, and no transformer here models that; use recipe: tokenizer, or kind: lfq");
      continue;
    }
    EXPECT_EQ(refusal(config), "no error");
    const auto metrics = step_metrics(*make_recipe(config).recipe, small_batch(config, 1),
                                      {.step = 0, .diagnostics = true});
    for (const char* name : {"proj_loss_vq", "proj_loss_ar", "ce_loss", "vq_total"}) {
      EXPECT_TRUE(std::isfinite(metrics.at(name))) << name;
    }
  }
}

TEST_P(FamilyRecipes, GoOnFromACheckpointBitForBit) {
  const bool joint = GetParam().config.quantizer.kind != models::QuantizerKind::kGlfq;
  const auto config = config_of(GetParam(), joint ? RecipeKind::kGear : RecipeKind::kTokenizer);
  const auto first = small_batch(config, 1), second = small_batch(config, 2);
  const io::TemporaryFolder folder;
  const auto uninterrupted = make_recipe(config).recipe;
  uninterrupted->step({&first, 1}, {.step = 0});
  const auto saved = CheckpointStore(folder.path(), /*keep=*/1)
                         .save({.step = 1}, config::dump(config), uninterrupted->state());
  const auto resumed = make_recipe(config).recipe;
  resumed->step({&second, 1}, {.step = 0});  // other weights, all to be replaced
  Checkpoint(saved).load(resumed->state());
  for (Recipe* recipe : {uninterrupted.get(), resumed.get()}) {
    torch::manual_seed(3);  // of the dropout, whose stream the trainer restores
    recipe->step({&second, 1}, {.step = 1});
  }
  expect_same_bits(copies(*resumed), copies(*uninterrupted), {""});
}

}  // namespace
}  // namespace gear::train
