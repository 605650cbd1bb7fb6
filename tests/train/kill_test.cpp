// A training process that is killed ends, once it is started again, where one that nobody disturbed
// ends. Here the process kills itself at moments of its own work; kill_slow.cpp does it from
// outside, many times over.

#include <gtest/gtest.h>

#include "interposed_fsync.h"
#include "kill_run.h"

namespace gear::train {
namespace {

using testing::is_saving;
using testing::TemporaryFolder;
using testing::train_child;

constexpr int64_t kSteps = 40;
const std::string kStep = "step ", kSync = "sync ";

/// Kills the process when it is called for the `count`-th time.
std::function<void()> killer(int64_t count) {
  return [left = count]() mutable {
    if (--left == 0) raise(SIGKILL);
  };
}

/// `moment`: "step 5", between the fourth and the fifth step of this process; "sync 5", at its
/// fifth call of fsync, of which every file and folder that is saved needs one; or "", never.
int train_until(const std::string& moment, char** argv) {
  if (moment.starts_with(kStep)) {
    return testing::train_as_child(argv, killer(std::stoll(moment.substr(kStep.size()))));
  }
  if (moment.starts_with(kSync)) {
    testing::on_fsync = [kill = killer(std::stoll(moment.substr(kSync.size())))]() mutable {
      kill();
      return 0;
    };
  }
  return testing::train_as_child(argv);
}

TEST(Killed, AmongStepsAndWhileSavingTheRunEndsWhereAnUndisturbedOneEnds) {
  const TemporaryFolder root;
  const auto straight = root.path() / "straight";
  const auto killed = root.path() / "killed";
  ASSERT_EQ(train_child(straight, kSteps), 0);

  int while_saving = 0;
  for (const std::string moment :
       {"step 1", "sync 1", "step 4", "sync 4", "sync 9", "sync 14", "step 10", "sync 30"}) {
    ASSERT_EQ(train_child(killed, kSteps, moment), -1) << moment;
    while_saving += is_saving(killed);
  }
  EXPECT_GE(while_saving, 2);

  ASSERT_EQ(train_child(killed, kSteps), 0);
  testing::expect_same_end(killed, straight, kSteps);
  EXPECT_FALSE(is_saving(killed));
}

}  // namespace
}  // namespace gear::train

int main(int argc, char** argv) {
  if (gear::train::testing::is_child(argc, argv)) return gear::train::train_until(argv[4], argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
