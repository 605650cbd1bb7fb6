#include <gtest/gtest.h>

#include "gear/train/memory_estimate.h"
#include "small_recipe.h"

namespace gear::train {
namespace {

using testing::copies;
using testing::small_batch;
using testing::small_recipe_config;
using testing::step_metrics;

TEST(SeveralTeachers, HaveAProjectionEachAndTheirLossesAreAveraged) {
  RunConfig config = small_recipe_config();
  const auto batch = small_batch(config, 1);
  const StepContext context{.step = 0, .diagnostics = true};
  config.teacher.model = "dinov2-custom, dinov2-custom";
  const auto built = make_recipe(config);
  EXPECT_EQ(built.warnings.size(), 2U);
  const auto start = copies(*built.recipe);
  for (const std::string name : {"projs.0.4.weight", "projs.1.4.weight"}) {
    EXPECT_EQ(start.at("projector/" + name).sizes(), at::IntArrayRef({32, 32}));
  }
  const double both = step_metrics(*built.recipe, batch, context).at("proj_loss_ar");
  EXPECT_GE(both, -1.0);
  EXPECT_LE(both, 1.0);
  const auto end = copies(*built.recipe);
  for (const std::string name : {"projector/projs.0.0.weight", "projector/projs.1.0.weight"}) {
    EXPECT_FALSE(end.at(name).equal(start.at(name))) << name << " must learn";
  }
}

TEST(SeveralTeachers, AllCountInTheMemoryEstimate) {
  RunConfig config = small_recipe_config();
  const double one = frozen_bytes(config);
  config.teacher.model = "dinov2-custom,dinov2-custom";
  config.teacher.weights = "a.pth,b.pth";  // only the shapes are wanted
  EXPECT_GT(frozen_bytes(config), one);
}

}  // namespace
}  // namespace gear::train
