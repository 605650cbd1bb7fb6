// A training process that is killed ends, once it is started again, where one that nobody disturbed
// ends. kill_slow.cpp does the same many times over.

#include <gtest/gtest.h>

#include "kill_run.h"

namespace gear::train {
namespace {

using testing::after_progress;
using testing::is_saving;
using testing::TemporaryFolder;
using testing::train_and_kill;
using testing::train_undisturbed;

constexpr int64_t kSteps = 120;

TEST(Killed, AmongStepsAndWhileSavingTheRunEndsWhereAnUndisturbedOneEnds) {
  const TemporaryFolder root;
  const auto straight = root.path() / "straight";
  const auto killed = root.path() / "killed";
  ASSERT_EQ(train_undisturbed(straight, kSteps), 0);

  RandomStream stream(23);
  for (int i = 0; i < 2; ++i) {
    const double delay = 0.03 * stream.uniform();
    ASSERT_EQ(train_and_kill(killed, kSteps, after_progress(killed, delay)), -1);
  }
  // A save lasts milliseconds; where the kill came too late for one, the next try gets it.
  do {
    const auto progress = after_progress(killed, 0.0);
    ASSERT_EQ(train_and_kill(killed, kSteps, [&] { return progress() && is_saving(killed); }), -1);
  } while (!is_saving(killed));

  ASSERT_EQ(train_undisturbed(killed, kSteps), 0);
  testing::expect_same_end(killed, straight, kSteps);
  EXPECT_FALSE(is_saving(killed));
}

}  // namespace
}  // namespace gear::train

int main(int argc, char** argv) {
  if (gear::train::testing::is_child(argc, argv)) return gear::train::testing::train_as_child(argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
