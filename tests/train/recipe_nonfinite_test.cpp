#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <limits>

#include "gear/train/recipes/tokenizer_recipe.h"
#include "small_recipe.h"

namespace gear::train {
namespace {

using testing::copies;
using testing::live_tensor;
using testing::NamedCopies;
using testing::small_batch;
using testing::small_recipe_config;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The message of the NonFiniteError that a step throws.
std::string message_of_step(Recipe& recipe, const data::Batch& batch) {
  try {
    recipe.step({&batch, 1}, {.step = 1});
  } catch (const NonFiniteError& error) {
    return error.what();
  }
  return "no NonFiniteError";
}

/// Parameters, moments, step counters and averages are what they were; a NaN equals a NaN.
void expect_unchanged(Recipe& recipe, const NamedCopies& before) {
  for (const auto& [name, value] : copies(recipe)) {
    if (testing::is_running_statistic(name)) continue;
    EXPECT_TRUE(at::allclose(value, before.at(name), 0.0, 0.0, /*equal_nan=*/true)) << name;
  }
}

/// A joint recipe after a good step, so that its moments are not zero.
std::unique_ptr<Recipe> recipe_after_a_step(const RunConfig& config) {
  auto recipe = make_recipe(config).recipe;
  const auto batch = small_batch(config, 1);
  recipe->step({&batch, 1}, {.step = 0});
  return recipe;
}

TEST(NonFinite, ABadWeightIsNamedBeforeAnythingChanges) {
  const RunConfig config = small_recipe_config();
  ASSERT_EQ(config.loss.tap, 1);  // so the second block is behind it: update (1) is finite there
  for (const std::string name :
       {"ar/output.weight", "ar/layers.1.attention.wo.weight", "ar/tok_embeddings.weight",
        "projector/projs.0.0.weight", "discriminator/main.0.weight",
        "tokenizer/decoder.conv_in.weight"}) {
    const auto recipe = recipe_after_a_step(config);
    live_tensor(*recipe, name).detach().flatten()[3] = kNan;
    const auto before = copies(*recipe);
    std::string dotted = name;
    dotted[dotted.find('/')] = '.';
    EXPECT_EQ(message_of_step(*recipe, small_batch(config, 2)),
              "the weight " + dotted + " is not finite");
    expect_unchanged(*recipe, before);
  }
}

TEST(NonFinite, ABadGradientIsNamedBeforeAnythingChanges) {
  const RunConfig config = small_recipe_config();
  for (const std::string name : {"tokenizer/encoder.conv_in.weight", "discriminator/main.0.weight",
                                 "ar/norm.weight", "projector/projs.0.0.weight"}) {
    const auto recipe = recipe_after_a_step(config);
    live_tensor(*recipe, name).requires_grad_(true).register_hook([](const Tensor& gradient) {
      return gradient * kNan;
    });
    const auto before = copies(*recipe);
    std::string dotted = name;
    dotted[dotted.find('/')] = '.';
    EXPECT_EQ(message_of_step(*recipe, small_batch(config, 2)),
              "the gradient of " + dotted + " is not finite");
    expect_unchanged(*recipe, before);
  }
}

/// A teacher whose features are all NaN.
class NanTeacher : public models::Teacher {
 public:
  Tensor encode(const Tensor& images) override {
    return at::full({images.size(0), 16, feature_dim()}, kNan);
  }
  int64_t feature_dim() const override { return 8; }
};

TEST(NonFinite, TheFirstBadTermIsNamedWhereTheWeightsAreGood) {
  const RunConfig config = small_recipe_config();
  GearRecipe joint(testing::small_tokenizer_networks(config), testing::small_ar_networks(config, 8),
                   {std::make_shared<NanTeacher>()}, config);
  EXPECT_EQ(message_of_step(joint, small_batch(config, 1)), "the loss proj_loss_vq is NaN");

  TokenizerRecipe alone(testing::small_tokenizer_networks(config), config);
  auto batch = small_batch(config, 1);
  batch.images = batch.images.to(at::kFloat) * kNan;
  EXPECT_EQ(message_of_step(alone, batch), "the loss reconstruction_loss is NaN");
}

}  // namespace
}  // namespace gear::train
