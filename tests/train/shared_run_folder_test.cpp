// The folder of a run of several processes: the first one decides, all are told.

#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/train/run_folder.h"
#include "train/run_log.h"
#include "train/shared_folder.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using dist::World;
using dist::testing::run_ranks;
using ::testing::HasSubstr;
using testing::message_of;
using testing::read_text;
using testing::SharedFolder;
using testing::TemporaryFolder;

constexpr const char* kConfig = "steps: 10\nar:\n  depth: 12\n";

RunFolderOptions options_for(const World& world, const fs::path& path,
                             const std::string& resume = "auto",
                             const std::string& config = kConfig) {
  return {.path = path,
          .config_yaml = config,
          .resume = Resume::parse(resume),
          .layout = {.world = world}};
}

void save_step(const RunFolder& folder, int64_t step) {
  folder.checkpoints().save({.step = step}, folder.config_yaml(),
                            {{"net", {{"a", at::full({3000}, static_cast<double>(step))}}}});
}

TEST(SharedRunFolder, AllRanksGoOnFromTheSameCheckpoint) {
  run_ranks(3, [](const World& world) {
    const SharedFolder shared(world);
    {
      const RunFolder folder(options_for(world, shared.path() / "run"));
      EXPECT_FALSE(folder.start().has_value());
      folder.save_config();
      save_step(folder, 4);
      save_step(folder, 8);
    }
    world.barrier();
    const std::string earlier = (shared.path() / "run/checkpoints/step-00000004").string();
    {
      const RunFolder folder(options_for(world, shared.path() / "run"));
      ASSERT_TRUE(folder.start().has_value());
      EXPECT_EQ(folder.start()->position().step, 8);
      EXPECT_TRUE(folder.start_is_own());
    }
    const RunFolder folder(options_for(world, shared.path() / "other", earlier));
    ASSERT_TRUE(folder.start().has_value());
    EXPECT_EQ(folder.start()->position().step, 4);
    EXPECT_FALSE(folder.start_is_own());
    EXPECT_EQ(read_text(shared.path() / "run/config.yaml"), kConfig);
  });
}

TEST(SharedRunFolder, OnlyTheFirstRankWrites) {
  run_ranks(2, [](const World& world) {
    const SharedFolder shared(world);
    const RunFolder folder(options_for(world, shared.path()));
    folder.save_config();  // or the first rank would remove the log when it is done
    log::info("from rank " + std::to_string(world.rank()));
    RunConfig config;
    config.output.tensorboard = true;
    {
      RunLog log(config, folder, 0);
      log.step(1, {{"loss_total", 0.5}});
      log.sync();
    }
    log::flush();
    world.barrier();
    const std::string text = read_text(shared.path() / "log.txt");
    EXPECT_THAT(text, HasSubstr("from rank 0"));
    EXPECT_THAT(text, ::testing::Not(HasSubstr("from rank 1")));
    const std::string metrics = read_text(folder.metrics_path());
    EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 1);
    const auto events = fs::directory_iterator(folder.events());
    EXPECT_EQ(std::distance(events, fs::directory_iterator()), 1);
  });
}

TEST(SharedRunFolder, ARefusalIsTheSameSentenceOnAllRanks) {
  run_ranks(2, [](const World& world) {
    const SharedFolder shared(world);
    const auto start = [&](const std::string& resume, const std::string& config = kConfig) {
      return message_of([&] { RunFolder(options_for(world, shared.path(), resume, config)); });
    };
    {
      const RunFolder folder(options_for(world, shared.path()));
      EXPECT_THAT(start("auto"), HasSubstr(": another process is training in this folder"));
      world.barrier();
      if (world.is_first()) std::ofstream(folder.metrics_path()) << "{\"step\":2}\n";
      folder.save_config();
    }
    world.barrier();
    EXPECT_THAT(
        start("none", "steps: 10\nar:\n  depth: 6\n"),
        HasSubstr(": already holds a run with another configuration (ar.depth: 12, now 6)"));
    save_step(RunFolder(options_for(world, shared.path())), 4);
    world.barrier();
    EXPECT_THAT(start("none"), HasSubstr(": already holds a run (step-00000004)"));
    EXPECT_THAT(start("/nowhere"), HasSubstr("--resume /nowhere: no checkpoint there"));
  });
}

TEST(SharedRunFolder, AFolderThatIsNotSharedIsASentenceOnAllRanks) {
  run_ranks(3, [](const World& world) {
    const SharedFolder shared(world);
    const TemporaryFolder own;
    const fs::path path = world.rank() == 2 ? own.path() : shared.path();
    EXPECT_THAT(message_of([&] { RunFolder folder(options_for(world, path)); }),
                ::testing::MatchesRegex(
                    ".*: is not shared between rank 0 on .+ and rank 2 on .+: rank 2 does not see "
                    ".lock of rank 0; choose a folder on a file system that all ranks have "
                    "mounted there"));
  });
}

}  // namespace
}  // namespace gear::train
