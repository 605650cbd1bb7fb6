// The recipe ar on stored indices: the same training as on the pictures they come from, and indices
// that do not belong to a run are refused.

#include "gear/train/stored_indices.h"

#include <gtest/gtest.h>

#include "data/pictures.h"
#include "gear/data/index_loader.h"
#include "gear/train/encode_set.h"
#include "io/temporary_folder.h"
#include "small_recipe.h"

namespace gear::train {
namespace {

using io::error_of;
using io::TemporaryFolder;
using testing::copies;
using testing::small_recipe_config;
using testing::step_metrics;

/// Pictures, a configuration that learns them, and what they are encoded to.
struct Fixture {
  TemporaryFolder folder;
  RunConfig config = small_recipe_config(RecipeKind::kAr);
  std::shared_ptr<const data::ImageFolder> pictures;
  std::unique_ptr<Recipe> recipe;  // on pictures

  Fixture() {
    data::write_picture_folder(folder / "pictures", 10);
    pictures = std::make_shared<const data::ImageFolder>(folder / "pictures");
    config.loss.repa = false;
    config.data.random_crop = false;
    config.data.num_classes = 2;
    recipe = make_recipe(config).recipe;
  }
  models::Tokenizer& tokenizer() const { return *recipe->sampling_pair(/*ema=*/true).tokenizer; }

  std::shared_ptr<const data::IndexSet> encode(bool mirrored) const {
    const auto out = folder / "indices.safetensors";
    encode_set(tokenizer(), pictures,
               {.out = out, .data = config.data, .batch = 3, .mirrored = mirrored});
    return std::make_shared<const data::IndexSet>(out);
  }
};

/// Three steps in each of two epochs give the same losses and weights, to the last bit.
void expect_same_training(bool flip) {
  Fixture fixture;
  RunConfig& config = fixture.config;
  config.data.random_flip = flip;
  const auto indices = fixture.encode(/*mirrored=*/flip);
  const data::LoaderShare share{.micro_batch_size = config.data.batch_size, .seed = 5};
  data::Loader of_pictures(fixture.pictures, config.data, share);
  data::IndexLoader of_indices(indices, config.data, share);
  RunConfig stored = config;
  stored.data.indices = indices->path().string();
  const auto recipe = make_recipe(stored).recipe;
  for (int64_t step = 0; step < 6; ++step) {
    const auto expected = step_metrics(*fixture.recipe, of_pictures.next(), {.step = step});
    EXPECT_EQ(step_metrics(*recipe, of_indices.next(), {.step = step}), expected) << step;
  }
  const auto trained = copies(*recipe);
  for (const auto& [name, value] : copies(*fixture.recipe)) {
    if (name.starts_with("tokenizer/")) continue;
    EXPECT_TRUE(at::equal(trained.at(name), value)) << name;
  }
}

TEST(StoredIndices, TrainTheTransformerBitForBitAsThePicturesDo) { expect_same_training(false); }

TEST(StoredIndices, MirroredPicturesTrainBitForBitToo) { expect_same_training(true); }

TEST(StoredIndices, ARunThatWasGivenNoTokenizerHasNone) {
  Fixture fixture;
  fixture.config.data.indices = "unused";
  const auto recipe = make_recipe(fixture.config).recipe;
  EXPECT_EQ(recipe->sampling_pair(/*ema=*/true).tokenizer, nullptr);
  for (const auto& group : recipe->state()) EXPECT_NE(group.name, "tokenizer");
}

TEST(StoredIndices, AreThoseOfTheTokenizerThatMadeThem) {
  const Fixture fixture;
  const auto indices = fixture.encode(/*mirrored=*/false);
  EXPECT_EQ(error_of([&] { expect_indices_of(*indices, fixture.tokenizer()); }), "");
  {
    const at::NoGradGuard no_grad;
    fixture.tokenizer().parameters().back().add_(1e-3);
  }
  const std::string made_by = indices->info().tokenizer_sha256.substr(0, 12);
  const std::string now = tokenizer_sha256(fixture.tokenizer()).substr(0, 12);
  EXPECT_NE(made_by, now);
  EXPECT_EQ(error_of([&] { expect_indices_of(*indices, fixture.tokenizer()); }),
            "data.indices: " + indices->path().string() + ": was encoded by other weights (" +
                made_by + "...) than those of this run's tokenizer (" + now +
                "...); encode the pictures again, or set init.tokenizer to the weights that "
                "encoded them");
}

TEST(StoredIndices, MustFitTheConfiguration) {
  const Fixture fixture;
  const auto indices = fixture.encode(/*mirrored=*/false);
  EXPECT_EQ(error_of([&] { expect_indices_fit(*indices, fixture.config); }), "");
  const auto refused = [&](auto&& change) {
    RunConfig other = fixture.config;
    change(other);
    return error_of([&] { expect_indices_fit(*indices, other); });
  };
  const std::string start = "data.indices: " + indices->path().string() + ": has ";
  const std::string end =
      "; encode the pictures with the tokenizer and picture size of this configuration, or set "
      "them to those of the indices";
  EXPECT_EQ(
      refused([](RunConfig& config) { config.tokenizer.quantizer.codebook_size = 32; }),
      start + "indices of a codebook of 24, but tokenizer.quantizer.codebook_size is 32" + end);
  EXPECT_EQ(refused([](RunConfig& config) { config.data.image_size = 16; }),
            start + "pictures of size 8, but data.image_size is 16" + end);
  EXPECT_EQ(refused([](RunConfig& config) {
              config.tokenizer.ch_mult = {1, 1, 1};
            }),
            start + "tokens per side: 4, but data.image_size / tokenizer downsampling is 2" + end);
}

TEST(StoredIndices, AreForTheRecipeArWithoutAlignment) {
  const config::Node root;
  RunConfig config = small_recipe_config(RecipeKind::kAr);
  config.data.indices = "a.safetensors";
  const auto check = [&] { config.check(config::Where(&root, "")); };
  EXPECT_EQ(error_of(check),
            "loss.repa (default): must be false with data.indices: the teacher of the alignment "
            "loss looks at pictures, and indices have none");
  config.loss.repa = false;
  EXPECT_EQ(error_of(check), "");
  config.recipe = RecipeKind::kGear;
  EXPECT_EQ(error_of(check),
            "data.indices (default): is for recipe: ar, which keeps the tokenizer frozen; the "
            "recipe gear needs pictures, so leave it empty, got a.safetensors");
}

}  // namespace
}  // namespace gear::train
