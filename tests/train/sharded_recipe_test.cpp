#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "dist/ranks.h"
#include "train/shared_folder.h"
#include "train/shared_steps.h"

// What several ranks compute together is what one process computes alone.

namespace gear::train {
namespace {

using dist::testing::run_ranks;
using testing::expect_same_state;
using testing::share_of;
using testing::shared_config;
using testing::step_of;

constexpr int64_t kSteps = 4;

struct Case {
  RecipeKind recipe;
  ShardMode shard;
};

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return config::detail::format(info.param.recipe) + "_" + config::detail::format(info.param.shard);
}

class ShardedRecipe : public ::testing::TestWithParam<Case> {};

/// Runs a recipe on all ranks of `world` beside one process and compares metrics and state.
void expect_numbers_of_one_process(RunConfig config, ShardMode shard, const dist::World& world) {
  auto one = make_recipe(config).recipe;
  config.parallel.shard = shard;
  auto several =
      make_recipe(config, WeightSource::kInit, make_parallel(world, config.parallel)).recipe;
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto batch = testing::small_batch(config, 100 + static_cast<uint64_t>(step));
    const auto expected = step_of(*one, {batch}, step);
    const auto found = step_of(*several, share_of(batch, /*passes=*/1, world), step);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [name, value] : expected) {
      const double tolerance = name.find("grad_norm") == std::string::npos ? 1e-5 : 1e-4;
      EXPECT_NEAR(found.at(name), value, tolerance * std::max(1.0, std::abs(value)))
          << name << " of step " << step;
    }
  }
  expect_same_state(*several, *one, 2e-5);
}

TEST_P(ShardedRecipe, GivesTheNumbersOfOneProcess) {
  run_ranks(3, [](const dist::World& world) {
    expect_numbers_of_one_process(shared_config(GetParam().recipe), GetParam().shard, world);
  });
}

TEST(ShardedRecipes, StagesThatStartFromFilesGiveTheNumbersOfOneProcess) {
  run_ranks(3, [](const dist::World& world) {
    const testing::SharedFolder folder(world);
    if (world.is_first()) {
      const RunConfig first_stage = shared_config(RecipeKind::kTokenizer);
      CheckpointStore(folder.path() / "checkpoints", 1)
          .save({.step = 1}, config::dump(first_stage), make_recipe(first_stage).recipe->state());
    }
    world.barrier();
    for (const RecipeKind recipe : {RecipeKind::kGear, RecipeKind::kAr}) {
      RunConfig config = shared_config(recipe);
      config.seed = 7;  // other weights than those of the files
      config.init.from = folder.path();
      for (const ShardMode shard : {ShardMode::kNone, ShardMode::kFull}) {
        expect_numbers_of_one_process(config, shard, world);
      }
    }
  });
}

TEST_P(ShardedRecipe, GivesTheSameBitsOnAnyNumberOfRanksInDeterministicMode) {
  for (const int64_t size : {2, 4}) {
    run_ranks(size, [](const dist::World& world) {
      RunConfig config = shared_config(GetParam().recipe);
      config.parallel.deterministic = true;
      config.optimizer.max_grad_norm = 0.01;  // clips, so the norm must have the same bits too
      auto one = make_recipe(config, WeightSource::kInit, {.config = config.parallel}).recipe;
      config.parallel.shard = GetParam().shard;
      auto several =
          make_recipe(config, WeightSource::kInit, make_parallel(world, config.parallel)).recipe;
      for (int64_t step = 0; step < kSteps; ++step) {
        const auto batch = testing::small_batch(config, 100 + static_cast<uint64_t>(step));
        const auto expected = step_of(*one, share_of(batch, /*passes=*/4, {}), step);
        EXPECT_EQ(step_of(*several, share_of(batch, 4 / world.size(), world), step), expected)
            << "step " << step;
      }
      expect_same_state(*several, *one, 0.0);
    });
  }
}

/// Runs the joint recipe on `parallel` beside one process and compares losses and state.
void expect_like_one_process(RunConfig config, const Parallel& parallel) {
  auto one = make_recipe(config).recipe;
  auto several = make_recipe(config, WeightSource::kInit, parallel).recipe;
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto batch = testing::small_batch(config, 100 + static_cast<uint64_t>(step));
    const auto expected = step_of(*one, {batch}, step);
    const auto found = step_of(*several, share_of(batch, /*passes=*/1, parallel.world), step);
    for (const std::string name : {"vq_total", "ar_total", "proj_loss_vq", "disc/d_loss"}) {
      EXPECT_NEAR(found.at(name), expected.at(name),
                  1e-5 * std::max(1.0, std::abs(expected.at(name))))
          << name << " of step " << step;
    }
  }
  expect_same_state(*several, *one, 2e-5);
}

TEST(ShardedRecipes, CopiesOnTwoMachinesOfTwoRanks) {
  run_ranks(4, [](const dist::World& world) {
    Parallel parallel{.world = world,
                      .parts = world.split(world.rank() / 2),
                      .replicas = world.split(world.rank() % 2)};
    parallel.config.shard = ShardMode::kFull;
    expect_like_one_process(shared_config(RecipeKind::kGear), parallel);
  });
}

TEST(ShardedRecipes, BlocksThatAreComputedAgainAreBroughtTogetherAgain) {
  run_ranks(2, [](const dist::World& world) {
    RunConfig config = shared_config(RecipeKind::kGear);
    config.ar.activation_checkpointing = true;
    ParallelConfig full;
    full.shard = ShardMode::kFull;
    expect_like_one_process(config, make_parallel(world, full));
  });
}

TEST(ShardedRecipes, WeightsSentAsBfloat16StayCloseAndAreKeptExactly) {
  run_ranks(2, [](const dist::World& world) {
    RunConfig config = shared_config(RecipeKind::kGear);
    auto one = make_recipe(config).recipe;
    ParallelConfig full;
    full.shard = ShardMode::kFull;
    full.bf16_gathers = true;
    auto several = make_recipe(config, WeightSource::kInit, make_parallel(world, full)).recipe;
    expect_same_state(*several, *one, 0.0);  // what is kept was never rounded
    const auto batch = testing::small_batch(config, 100);
    const auto expected = step_of(*one, {batch}, 0);
    const auto found = step_of(*several, share_of(batch, /*passes=*/1, world), 0);
    EXPECT_NEAR(found.at("ar_total"), expected.at("ar_total"), 0.02 * expected.at("ar_total"));
    EXPECT_NE(found.at("ar_total"), expected.at("ar_total"));
  });
}

TEST(ShardedRecipes, ANonFiniteLossOfOneRankIsNamedOnAllAndChangesNothing) {
  run_ranks(2, [](const dist::World& world) {
    RunConfig config = shared_config(RecipeKind::kTokenizer);
    ParallelConfig full;
    full.shard = ShardMode::kFull;
    auto several = make_recipe(config, WeightSource::kInit, make_parallel(world, full)).recipe;
    const auto before = testing::copies(*several);
    const auto batch = testing::small_batch(config, 100);
    auto share = share_of(batch, /*passes=*/1, world);
    share[0].images = models::to_signed_unit(share[0].images);
    if (world.rank() == 1) share[0].images.fill_(std::numeric_limits<float>::quiet_NaN());
    try {
      step_of(*several, share, 0);
      ADD_FAILURE() << "no error";
    } catch (const NonFiniteError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("is NaN"));
    }
    for (const auto& [name, tensor] : testing::copies(*several)) {
      EXPECT_TRUE(tensor.equal(before.at(name))) << name;
    }
  });
}

/// NaN pictures of one rank: tokenizer and transformer have their losses and gradients by the time
/// this is found out.
data::Batch without_numbers(data::Batch batch) {
  batch.images = models::to_signed_unit(batch.images)
                     .fill_(std::numeric_limits<float>::quiet_NaN())
                     .contiguous(at::MemoryFormat::ChannelsLast);
  return batch;
}

TEST(ShardedRecipes, AStepThatIsNotFiniteLeavesNothingToTheNext) {
  run_ranks(2, [](const dist::World& world) {
    RunConfig config = shared_config(RecipeKind::kGear);
    config.loss.repa = false;  // a teacher takes bytes, which hold no NaN
    for (const ShardMode shard : {ShardMode::kNone, ShardMode::kOptimizer, ShardMode::kFull}) {
      config.parallel.shard = shard;
      const Parallel parallel = make_parallel(world, config.parallel);
      auto disturbed = make_recipe(config, WeightSource::kInit, parallel).recipe;
      auto undisturbed = make_recipe(config, WeightSource::kInit, parallel).recipe;
      const auto share = share_of(testing::small_batch(config, 100), /*passes=*/1, world);
      const data::Batch bad = world.is_first() ? share[0] : without_numbers(share[0]);
      EXPECT_THROW(step_of(*disturbed, {bad}, 2), NonFiniteError);
      EXPECT_EQ(step_of(*disturbed, share, 3), step_of(*undisturbed, share, 3));
      const auto expected = testing::copies(*undisturbed);
      for (const auto& [name, tensor] : testing::copies(*disturbed)) {
        EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, ShardedRecipe,
                         ::testing::Values(Case{RecipeKind::kTokenizer, ShardMode::kNone},
                                           Case{RecipeKind::kTokenizer, ShardMode::kFull},
                                           Case{RecipeKind::kGear, ShardMode::kNone},
                                           Case{RecipeKind::kGear, ShardMode::kOptimizer},
                                           Case{RecipeKind::kGear, ShardMode::kFull},
                                           Case{RecipeKind::kAr, ShardMode::kFull}),
                         name_of);

}  // namespace
}  // namespace gear::train
