// `gear train` killed at random moments, again and again, ends where an undisturbed run ends.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

TEST(Killed, RunThatIsStartedAgainEndsWithTheSameWeightsBitForBit) {
  constexpr int kKills = 6;
  const std::vector<std::string> settings = {"steps=60", "output.checkpoint_every=2"};
  const std::string last = "checkpoints/step-00000060";
  const TinySetup tiny;
  const fs::path straight = tiny.root() / "straight";
  std::vector<std::string> elsewhere = settings;
  elsewhere.push_back("run_dir=" + straight.string());
  ASSERT_EQ(tiny.train(elsewhere).exit_code, exit_code::kSuccess);

  RandomStream stream(17);
  int kills = 0;
  while (kills < kKills && !fs::exists(tiny.run() / last)) {
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
  EXPECT_EQ(weight_sums(tiny.run() / last), weight_sums(straight / last));
  EXPECT_EQ(partial_files(tiny.run()), std::vector<std::string>());
}

}  // namespace
}  // namespace gear::cli::testing
