// Stages that start from an earlier one: from a run of gear, and from a training file in the layout
// of the Python reference.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/torch_writer.h"
#include "gear/train/reference/checkpoint.h"
#include "models/families.h"
#include "project_folders.h"
#include "small_recipe.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

using io::TorchValue;
using testing::copies;
using ::testing::HasSubstr;
using testing::NamedCopies;
using testing::small_batch;
using testing::small_recipe_config;

std::string refusal(const RunConfig& config) {
  try {
    make_recipe(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

enum class Format { kRunFolder, kReference };

/// A stage that has taken one step, stored in one of the formats.
class Stage {
 public:
  Stage(const RunConfig& config, Format format) {
    const auto recipe = make_recipe(config).recipe;
    if (config.recipe != RecipeKind::kTokenizer) testing::fill_output_layer(*recipe);
    const auto batch = small_batch(config, 1);
    testing::step_metrics(*recipe, batch, {.step = 0});
    state_ = copies(*recipe);
    const RunPosition position{.step = 1, .micro_batches = 1, .samples = 4};
    if (format == Format::kRunFolder) {
      path_ = folder_.path();
      CheckpointStore(path_ / "checkpoints", 1)
          .save(position, config::dump(config), recipe->state());
    } else {
      path_ = folder_.path() / "stage.pt";
      StoredRun run;
      run.config = config;
      run.position = position;
      run.groups = recipe->state();
      io::write_torch(path_, reference::checkpoint_value(run));
    }
  }

  std::string path() const { return path_.string(); }
  const NamedCopies& state() const { return state_; }

 private:
  testing::TemporaryFolder folder_;
  std::filesystem::path path_;
  NamedCopies state_;
};

/// Every tensor of group `to` is that of group `from` of the stage before.
void expect_handed_over(const NamedCopies& found, const std::string& to, const NamedCopies& before,
                        const std::string& from) {
  int compared = 0;
  for (const auto& [name, value] : before) {
    if (!name.starts_with(from + "/")) continue;
    const std::string here = to + name.substr(from.size());
    ASSERT_TRUE(found.contains(here)) << here;
    EXPECT_TRUE(at::equal(found.at(here), value)) << here;
    ++compared;
  }
  EXPECT_GT(compared, 0) << from;
}

void expect_fresh_optimizers(const NamedCopies& found) {
  for (const auto& [name, value] : found) {
    if (!name.starts_with("optimizer")) continue;
    EXPECT_EQ(value.abs().max().item<double>(), 0.0) << name;
  }
}

RunConfig stage_config(RecipeKind recipe, uint64_t seed) {
  RunConfig config = small_recipe_config(recipe);
  config.optimizer.ema_decay = 0.5;
  config.seed = static_cast<int64_t>(seed);
  return config;
}

class HandOver : public ::testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Formats, HandOver,
                         ::testing::Values(Format::kRunFolder, Format::kReference),
                         [](const auto& info) {
                           return info.param == Format::kRunFolder ? "RunFolder" : "Reference";
                         });

TEST_P(HandOver, StageOneTakesTokenizerAverageAndDiscriminatorOfStageZero) {
  const Stage zero(stage_config(RecipeKind::kTokenizer, 0), GetParam());
  RunConfig config = stage_config(RecipeKind::kGear, 7);
  config.init.from = zero.path();
  const auto built = make_recipe(config);
  const auto found = copies(*built.recipe);
  expect_handed_over(found, "tokenizer", zero.state(), "tokenizer");
  expect_handed_over(found, "tokenizer_ema", zero.state(), "tokenizer_ema");
  expect_handed_over(found, "discriminator", zero.state(), "discriminator");
  expect_fresh_optimizers(found);
  EXPECT_FALSE(at::equal(found.at("tokenizer/encoder.conv_in.weight"),
                         found.at("tokenizer_ema/encoder.conv_in.weight")));
  EXPECT_THAT(built.notices,
              ::testing::Contains(zero.path() + " has no transformer: it starts from scratch"));
}

TEST_P(HandOver, StageTwoTakesTheAveragesAndTheProjectorOfStageOne) {
  const Stage one(stage_config(RecipeKind::kGear, 0), GetParam());
  RunConfig config = stage_config(RecipeKind::kAr, 7);
  config.init.from = one.path();
  const auto found = copies(*make_recipe(config).recipe);
  expect_handed_over(found, "tokenizer", one.state(), "tokenizer_ema");
  expect_handed_over(found, "ar", one.state(), "ar_ema");
  expect_handed_over(found, "ar_ema", one.state(), "ar_ema");
  expect_handed_over(found, "projector", one.state(), "projector");
  expect_fresh_optimizers(found);
  EXPECT_FALSE(at::equal(one.state().at("ar/norm.weight"), found.at("ar/norm.weight")));
}

TEST(HandOverNotices, SayWhichPartOfAFileWasTaken) {
  const Stage one(stage_config(RecipeKind::kGear, 0), Format::kReference);
  RunConfig config = stage_config(RecipeKind::kAr, 7);
  config.init.from = one.path();
  EXPECT_THAT(make_recipe(config).notices,
              ::testing::ElementsAre("initial tokenizer: " + one.path() + " (tokenizer_ema)",
                                     "initial transformer: " + one.path() + " (ar_ema)",
                                     "initial projector: " + one.path() + " (projector)"));
}

TEST_P(HandOver, StageTwoTakesTheTokenizerAloneWhenOnlyThatIsNamed) {
  const Stage one(stage_config(RecipeKind::kGear, 0), GetParam());
  RunConfig config = stage_config(RecipeKind::kAr, 7);
  config.init.tokenizer = one.path();
  const auto found = copies(*make_recipe(config).recipe);
  expect_handed_over(found, "tokenizer", one.state(), "tokenizer_ema");
  EXPECT_EQ(found.at("ar/output.weight").abs().max().item<double>(), 0.0);  // from scratch

  config.init.tokenizer_ema = false;
  expect_handed_over(copies(*make_recipe(config).recipe), "tokenizer", one.state(), "tokenizer");
}

TEST_P(HandOver, EachNetworkCanComeFromAFileOfItsOwn) {
  const Stage one(stage_config(RecipeKind::kGear, 0), GetParam());
  RunConfig config = stage_config(RecipeKind::kGear, 7);
  config.init.discriminator = one.path();
  config.init.ar = one.path();
  config.init.projector = one.path();
  const auto found = copies(*make_recipe(config).recipe);
  expect_handed_over(found, "discriminator", one.state(), "discriminator");
  expect_handed_over(found, "ar", one.state(), "ar_ema");
  expect_handed_over(found, "projector", one.state(), "projector");
  EXPECT_FALSE(at::equal(found.at("tokenizer/encoder.conv_in.weight"),
                         one.state().at("tokenizer/encoder.conv_in.weight")));
}

class FamilyHandOver : public ::testing::TestWithParam<models::Family> {};
INSTANTIATE_TEST_SUITE_P(Families, FamilyHandOver, ::testing::ValuesIn(models::families()),
                         models::family_name);

TEST_P(FamilyHandOver, TokenizerOfAReferenceFileIsTaken) {
  RunConfig config = stage_config(RecipeKind::kTokenizer, 0);
  config.tokenizer = GetParam().config;
  const Stage zero(config, Format::kReference);
  config.seed = 7;
  config.init.from = zero.path();
  const auto found = copies(*make_recipe(config).recipe);
  expect_handed_over(found, "tokenizer", zero.state(), "tokenizer");
  expect_handed_over(found, "tokenizer_ema", zero.state(), "tokenizer_ema");
}

TEST(HandOverRefusals, AFrozenTokenizerIsNeverLeftRandom) {
  const Stage zero(stage_config(RecipeKind::kTokenizer, 0), Format::kReference);
  const testing::TemporaryFolder folder;
  const auto projector = copies(*make_recipe(stage_config(RecipeKind::kGear, 0)).recipe);
  TorchValue::Dict ar, root;
  for (const auto& [name, value] : projector) {
    if (name.starts_with("ar/")) ar.set(name.substr(3), value);
  }
  root.set("ar", ar);
  const std::string path = (folder.path() / "stage2.pt").string();
  io::write_torch(path, root);
  RunConfig config = stage_config(RecipeKind::kAr, 7);
  config.init.from = path;
  EXPECT_EQ(refusal(config),
            path +
                ": has no tokenizer_ema or tokenizer; it has ar. Name a file or run that has it "
                "under a key of its own, such as init.tokenizer");
  config.init.tokenizer = zero.path();
  EXPECT_EQ(refusal(config), "no error");
}

TEST(HandOverRefusals, AFileWithoutTheNetworkAskedForSaysWhatItHas) {
  const Stage zero(stage_config(RecipeKind::kTokenizer, 0), Format::kReference);
  RunConfig config = stage_config(RecipeKind::kGear, 7);
  config.init.ar = zero.path();
  EXPECT_EQ(
      refusal(config),
      zero.path() +
          ": has no ar_ema or ar; it has discriminator, "
          "tokenizer, tokenizer_ema. Name a file or run that has it under a key of its own, such as init.tokenizer");
}

TEST(HandOverRefusals, AnIncompleteFileNamesWhatItLacks) {
  // Only its small tensors were kept.
  const std::string path =
      std::string(GEAR_SOURCE_DIR) + "/tests/golden/checkpoints/good/stage0.pt";
  RunConfig config = stage_config(RecipeKind::kGear, 7);
  config.tokenizer.z_channels = 4;
  config.tokenizer.quantizer.codebook_size = 16;
  config.tokenizer.quantizer.codebook_dim = 4;
  config.init.from = path;
  EXPECT_THAT(refusal(config), HasSubstr(path + ": lacks "));
  EXPECT_THAT(refusal(config), HasSubstr("of the model's parameters (encoder.conv_in.weight, "));
}

TEST(HandOverRefusals, AMissingFrozenTableIsNamed) {
  RunConfig config = stage_config(RecipeKind::kTokenizer, 0);
  config.tokenizer =
      models::family(
          "SimVq", {.kind = models::QuantizerKind::kSimVq, .codebook_size = 24, .codebook_dim = 4})
          .config;
  const auto state = copies(*make_recipe(config).recipe);
  TorchValue::Dict tokenizer, root;
  for (const auto& [name, value] : state) {
    const bool table = name.ends_with("quantize.embedding.weight");
    if (name.starts_with("tokenizer/") && !table) tokenizer.set(name.substr(10), value);
  }
  root.set("vq", tokenizer);
  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "x.pt").string();
  io::write_torch(path, root);
  config.init.tokenizer = path;
  EXPECT_EQ(refusal(config), path +
                                 ": lacks 1 of the model's buffers (quantize.embedding.weight); "
                                 "gear inspect " +
                                 path + " tells what it holds");
}

}  // namespace
}  // namespace gear::train
