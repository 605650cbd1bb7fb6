// A rank that fails alone between two steps of a run: all ranks end with its sentence.

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "dist/launched_ranks.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using dist::World;
using dist::testing::launch_ranks;
using dist::testing::Launched;
using testing::checkpoint_path;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::tiny_config;
using testing::TinyRecipe;
using testing::TinySource;

constexpr const char* kFolderVariable = "GEAR_TEST_FOLDER";

/// Two ranks train in `folder`; after step 6 each runs `evaluate`.
Launched train_on_two(const fs::path& folder, ShardMode shard,
                      const std::function<void(const World&)>& evaluate) {
  if (!dist::is_launched()) ::setenv(kFolderVariable, folder.c_str(), /*replace=*/1);
  return launch_ranks(2, std::chrono::seconds(60), [&](const World& world) {
    RunConfig config = tiny_config();
    config.output.eval_every = 6;
    config.parallel.shard = shard;
    RunFolder run({.path = std::getenv(kFolderVariable),
                   .config_yaml = config::dump(config),
                   .resume = Resume::parse("auto"),
                   .layout = {.world = world}});
    TinyRecipe recipe(config);
    TinySource source(config.data.batch_size / 2);
    const auto hook = [&](int64_t) {
      evaluate(world);
      return Metrics();
    };
    Trainer(config, recipe, source, run, {.evaluate = hook}).run();
  });
}

void fail_on_second(const World& world) {
  if (world.rank() == 1) fail("val/7.png: cannot be read");
}

TEST(FailingRank, ItsSentenceIsThatOfAllAndNoStepIsLost) {
  const TemporaryFolder folder;
  const Launched launched = train_on_two(folder.path(), ShardMode::kNone, fail_on_second);
  EXPECT_EQ(launched.code, exit_code::kUserError) << launched.err;
  EXPECT_THAT(launched.err, HasSubstr("error: another rank failed: val/7.png: cannot be read"));
  EXPECT_THAT(launched.err, HasSubstr("[rank 1] error: val/7.png: cannot be read"));
  EXPECT_TRUE(fs::exists(checkpoint_path(folder.path(), 6)));
}

TEST(FailingRank, IsNamedWithItsSentenceByThoseWhoWaitForItAmidTheEvaluation) {
  const TemporaryFolder folder;
  const Launched launched = train_on_two(folder.path(), ShardMode::kFull, [](const World& world) {
    world.sum(at::ones({4}));
    fail_on_second(world);
    world.sum(at::ones({4}));  // as blocks that are brought together
  });
  EXPECT_EQ(launched.code, exit_code::kUserError) << launched.err;
  EXPECT_THAT(launched.err,
              ContainsRegex("error: rank 1 \\(host [^ ]+, process [0-9]+\\) failed: val/7.png: "
                            "cannot be read; all ranks stop"));
  EXPECT_THAT(launched.err, HasSubstr("[rank 1] error: val/7.png: cannot be read"));
  EXPECT_TRUE(fs::exists(checkpoint_path(folder.path(), 6)));
}

}  // namespace
}  // namespace gear::train
