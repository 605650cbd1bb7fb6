// A run that is stopped, killed and started again on other numbers of ranks ends where an
// undisturbed one ends. GEAR_SLOW_SCALE multiplies the number of kills.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cli/rank_processes.h"
#include "cli/same_run.h"
#include "slow_scale.h"

namespace gear::cli::testing {
namespace {

using gear::testing::scaled;

/// Twelve micro-batches whatever the number of ranks, so that gradients add up in the same order.
std::vector<std::string> deterministic_settings(int64_t steps) {
  return {"steps=" + std::to_string(steps), "data.batch_size=12",  "optimizer.accumulation=12",
          "parallel.deterministic=true",    "parallel.shard=full", "output.checkpoint_every=2"};
}

std::vector<std::string> ranks(int64_t count) {
  if (count == 1) return {};
  return {"--nproc-per-node", std::to_string(count)};
}

TEST(Elastic, ChangingTheNumberOfRanksChangesNoBit) {
  const TinySetup tiny;
  const fs::path undisturbed = train_undisturbed(tiny, deterministic_settings(10));
  int64_t steps = 0;
  for (const int64_t count : {1, 2, 4, 3, 1}) {  // one epoch is a step: 12 pictures
    steps += 2;
    const Outcome outcome = tiny.train(deterministic_settings(steps), ranks(count));
    ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << count << " ranks: " << outcome.err;
  }
  const std::string last = "step-00000010";
  EXPECT_EQ(weight_sums(tiny.run() / "checkpoints" / last),
            weight_sums(undisturbed / "checkpoints" / last));
  EXPECT_EQ(timeless_metrics(tiny.run()), timeless_metrics(undisturbed));
}

TEST(Elastic, KilledAtRandomOnTwoRanksItEndsBitForBit) {
  const TinySetup tiny;
  constexpr int64_t kSteps = 40;
  const std::string last = "step-00000040";
  auto settings = deterministic_settings(kSteps);
  settings.back() = "output.checkpoint_every=1";  // most of the time a save is under way
  const fs::path undisturbed = train_undisturbed(tiny, settings);

  RandomStream stream(5);
  int64_t kills = 0, within_saves = 0;  // at least a third of them
  const int64_t wanted = scaled(9);
  while (kills < wanted || 3 * within_saves < kills) {
    fs::remove_all(tiny.run() / "checkpoints" / last);  // go on for as long as it takes
    GearProcess process(tiny.root(), tiny.train_arguments(settings, ranks(2)));
    if (3 * within_saves <= kills) {
      wait_for_save(tiny.run(), process);
      std::this_thread::sleep_for(std::chrono::microseconds(stream.integer(0, 3000)));
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(stream.integer(200, 4000)));
    }
    process.kill(SIGKILL);
    if (process.wait().exit_code != -SIGKILL) continue;
    ++kills;
    if (is_saving(tiny.run())) ++within_saves;
  }
  const Outcome outcome = tiny.train(settings, ranks(2));
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_EQ(weight_sums(tiny.run() / "checkpoints" / last),
            weight_sums(undisturbed / "checkpoints" / last));
  EXPECT_EQ(timeless_metrics(tiny.run()), timeless_metrics(undisturbed));
  EXPECT_EQ(partial_files(tiny.run()), std::vector<std::string>());
}

TEST(Elastic, ASignalToOneRankStopsAllWithOneCheckpoint) {
  const TinySetup tiny;
  auto settings = deterministic_settings(100000);
  settings.back() = "output.checkpoint_every=0";
  GearProcess process(tiny.root(), tiny.train_arguments(settings, ranks(2)));
  ASSERT_TRUE(makes_progress(tiny, process));
  const auto children = children_of(process.id());
  ASSERT_EQ(children.size(), 2U);
  ::kill(children[1], SIGUSR1);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, exit_code::kInterrupted) << outcome.err;
  EXPECT_EQ(names_in(tiny.run() / "checkpoints").size(), 1U);
}

}  // namespace
}  // namespace gear::cli::testing
