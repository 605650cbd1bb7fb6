#include "gear/train/plan.h"

#include <gmock/gmock.h>

#include "gear/core/error.h"
#include "train/small_recipe.h"

namespace gear::train {
namespace {

using ::testing::HasSubstr;

RunConfig config_with(ShardMode shard) {
  RunConfig config;  // the published size
  config.run_dir = config.data.path = "unused";
  config.data.num_classes = 1000;
  config.data.batch_size = 1024;
  config.parallel.shard = shard;
  return config;
}

TEST(Plan, AFullyDividedRunHoldsItsShareOfEverything) {
  const RunConfig config = config_with(ShardMode::kFull);
  const double total = plan_run(config, 1, 1).total_bytes();
  for (const int64_t world_size : {2, 8, 64, 1024}) {
    const double share = total / static_cast<double>(world_size);
    const double held = plan_run(config, world_size, 8).rank_bytes();
    EXPECT_GE(held, share);
    EXPECT_LE(held, 1.05 * share) << world_size << " ranks";
  }
}

TEST(Plan, ADividedOptimizerLeavesTheWeightsWhole) {
  const auto one = plan_run(config_with(ShardMode::kOptimizer), 1, 1);
  const auto many = plan_run(config_with(ShardMode::kOptimizer), 1024, 8);
  double weights = 0.0;
  for (const auto& network : one.networks) weights += 4.0 * static_cast<double>(network.parameters);
  EXPECT_GE(many.rank_bytes(), weights);
  EXPECT_LE(many.rank_bytes(), 1.01 * weights + one.total_bytes() / 1024.0);
  EXPECT_EQ(plan_run(config_with(ShardMode::kNone), 1024, 8).rank_bytes(), one.total_bytes());
}

TEST(Plan, AMachineHoldsACopyWhereSharesStayWithinIt) {
  RunConfig config = config_with(ShardMode::kFull);
  const double on_eight = plan_run(config, 8, 8).rank_bytes();
  config.parallel.within_node = true;
  EXPECT_EQ(plan_run(config, 64, 8).rank_bytes(), on_eight);
}

TEST(Plan, TrafficIsThatOfRings) {
  const auto one = plan_run(config_with(ShardMode::kNone), 1, 1);
  EXPECT_EQ(one.traffic_bytes(), 0.0);
  double weights = 0.0;
  for (const auto& network : one.networks) weights += 4.0 * static_cast<double>(network.parameters);
  // An all-reduce sends everything twice, but for one part in two.
  EXPECT_NEAR(plan_run(config_with(ShardMode::kNone), 2, 8).traffic_bytes(), weights, 1.0);
}

TEST(Plan, AnImpossibleNumberOfRanksIsRefused) {
  RunConfig config = config_with(ShardMode::kFull);
  config.data.batch_size = 6;
  try {
    plan_run(config, 4, 8);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("data.batch_size: must be a multiple of 4"));
  }
}

TEST(Plan, AFrozenTokenizerIsDividedToo) {
  RunConfig config = config_with(ShardMode::kFull);
  config.recipe = RecipeKind::kAr;
  config.loss.repa = false;
  const double whole = plan_run(config, 1, 8).frozen_bytes;
  EXPECT_LT(plan_run(config, 64, 8).frozen_bytes, 0.4 * whole);
  config.parallel.shard = ShardMode::kOptimizer;
  EXPECT_EQ(plan_run(config, 64, 8).frozen_bytes, whole);
}

TEST(Plan, ARankNeedsMemoryForItsShareAlone) {
  const RunConfig config = config_with(ShardMode::kFull);
  const auto share = plan_run(config, 64, 8);
  const double free = 1.01 * share.peak_bytes();
  EXPECT_NO_THROW(expect_enough_memory(config, share, free));
  try {
    expect_enough_memory(config, plan_run(config_with(ShardMode::kNone), 64, 8), free);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(" on each rank ("));
  }
}

TEST(Plan, NamesWhatToChange) {
  const RunConfig config = config_with(ShardMode::kNone);
  const auto ways = ways_to_fit(config, plan_run(config, 8, 8));
  EXPECT_THAT(ways, ::testing::Contains(HasSubstr("parallel.shard: full")));
}

}  // namespace
}  // namespace gear::train
