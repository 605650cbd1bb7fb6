#include "gear/train/nonfinite_steps.h"

#include <gtest/gtest.h>

namespace gear::train {
namespace {

using Answer = NonfiniteSteps::Answer;

TEST(NonfiniteSteps, StopMeansTheFirstOne) {
  EXPECT_EQ(NonfiniteSteps(OnNonfinite::kStop).failed(3, /*damaged=*/false), Answer::kStop);
}

TEST(NonfiniteSteps, SkipLeavesOutTenInARowAndNoneThatDamaged) {
  NonfiniteSteps steps(OnNonfinite::kSkip);
  for (int64_t step = 0; step < 10; ++step) {
    EXPECT_EQ(steps.failed(step, /*damaged=*/false), Answer::kLeaveOut);
  }
  EXPECT_EQ(steps.failed(10, /*damaged=*/false), Answer::kStop);
  steps.succeeded();
  EXPECT_EQ(steps.failed(12, /*damaged=*/false), Answer::kLeaveOut);
  EXPECT_EQ(steps.failed(13, /*damaged=*/true), Answer::kStop);
}

TEST(NonfiniteSteps, RollbackTriesAStepTwice) {
  NonfiniteSteps steps(OnNonfinite::kRollback);
  EXPECT_FALSE(steps.is_left_out(7));
  EXPECT_EQ(steps.failed(7, /*damaged=*/true), Answer::kGoBack);
  EXPECT_FALSE(steps.is_left_out(7));
  EXPECT_EQ(steps.failed(7, /*damaged=*/false), Answer::kGoBack);
  EXPECT_TRUE(steps.is_left_out(7));
  EXPECT_FALSE(steps.is_left_out(8));
}

TEST(NonfiniteSteps, RollbackEndsAtTheEleventhStepInARow) {
  NonfiniteSteps steps(OnNonfinite::kRollback);
  for (int64_t bad = 0; bad < 10; ++bad) {
    for (const int trial : {1, 2}) {  // each goes back to step 0
      for (int64_t step = 0; step < bad; ++step) ASSERT_TRUE(steps.is_left_out(step));
      ASSERT_EQ(steps.failed(bad, /*damaged=*/false), Answer::kGoBack) << bad << ", " << trial;
    }
  }
  for (int64_t step = 0; step < 10; ++step) ASSERT_TRUE(steps.is_left_out(step));
  EXPECT_EQ(steps.failed(10, /*damaged=*/false), Answer::kStop);
}

}  // namespace
}  // namespace gear::train
