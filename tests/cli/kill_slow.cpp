// `gear train` killed at random moments, again and again, ends where an undisturbed run ends.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cli/same_run.h"

namespace gear::cli::testing {
namespace {

TEST(Killed, RunThatIsStartedAgainEndsAsAnUndisturbedOneBitForBit) {
  constexpr int kKills = 6;
  const TinySetup tiny;
  const std::vector<std::string> settings = {"steps=60",
                                             "output.checkpoint_every=2",
                                             "output.eval_every=5",
                                             "output.preview_every=7",
                                             "output.preview_images=2",
                                             "output.sample_top_k=0",
                                             "data.val_path=" + tiny.data().string()};
  const std::string last = "step-00000060";
  const fs::path undisturbed = train_undisturbed(tiny, settings);

  RandomStream stream(17);
  int kills = 0;
  while (kills < kKills && !fs::exists(tiny.run() / "checkpoints" / last)) {
    const auto newest = [&] {
      return fs::exists(tiny.run() / "checkpoints") ? names_in(tiny.run() / "checkpoints")
                                                    : std::set<std::string>();
    };
    const auto before = newest();
    GearProcess process(tiny.root(), tiny.train_arguments(settings));
    while (process.running() && newest() == before) {  // so that every start makes progress
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(stream.integer(0, 300'000)));
    process.kill(SIGKILL);
    if (process.wait().exit_code == -SIGKILL) ++kills;
  }
  EXPECT_GT(kills, kKills / 2) << "the run ended before it was disturbed enough";
  const Outcome outcome = tiny.train(settings);
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  expect_same_end(tiny.run(), undisturbed, last);
}

}  // namespace
}  // namespace gear::cli::testing
