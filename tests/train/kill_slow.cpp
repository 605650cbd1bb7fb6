// A training process that is killed at random moments, again and again, ends where one that nobody
// disturbed ends.

#include <gtest/gtest.h>

#include "kill_run.h"

namespace gear::train {
namespace {

using testing::TemporaryFolder;
using testing::train_child;

constexpr int64_t kSteps = 400;

/// Three of four kills wait until the child has written a checkpoint and so fall among steps and
/// writes, the others among loading.
std::function<bool()> random_moment(const std::filesystem::path& folder, RandomStream& stream) {
  return stream.bernoulli(0.75) ? testing::after_progress(folder, 0.08 * stream.uniform())
                                : testing::after_start(0.4 * stream.uniform());
}

TEST(Killed, AtRandomMomentsAgainAndAgainTheRunEndsWhereAnUndisturbedOneEnds) {
  constexpr int kKills = 20;
  const TemporaryFolder root;
  const auto straight = root.path() / "straight";
  const auto killed = root.path() / "killed";
  ASSERT_EQ(train_child(straight, kSteps), 0);

  RandomStream stream(11);
  int kills = 0;
  while (kills < kKills &&
         testing::train_and_kill(killed, kSteps, random_moment(killed, stream)) == -1) {
    ++kills;
  }
  EXPECT_GT(kills, kKills / 2) << "the run ended before it was disturbed enough";
  ASSERT_EQ(train_child(killed, kSteps), 0);
  testing::expect_same_end(killed, straight, kSteps);
  for (const auto& entry : std::filesystem::directory_iterator(killed / "checkpoints")) {
    EXPECT_TRUE(entry.path().filename().string().starts_with("step-")) << entry.path();
  }
}

}  // namespace
}  // namespace gear::train

int main(int argc, char** argv) {
  if (gear::train::testing::is_child(argc, argv)) return gear::train::testing::train_as_child(argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
