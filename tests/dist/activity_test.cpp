#include "dist/activity.h"

#include <gtest/gtest.h>

#include <thread>

namespace gear::dist {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

void pass_time() { std::this_thread::sleep_for(milliseconds(300)); }

void compute() {
  const auto end = Activity::Clock::now() + milliseconds(30);
  while (Activity::Clock::now() < end) {
  }
}

TEST(Activity, ASignTellsWhatTheRankDoes) {
  Activity activity;
  EXPECT_EQ(activity.beat().doing, "the start");
  activity.doing("step 12");
  activity.enter();
  const RankSign working = activity.beat();
  EXPECT_EQ(working.beats, 2);
  EXPECT_EQ(working.collectives, 1);
  EXPECT_FALSE(working.waiting);
  EXPECT_EQ(working.doing, "step 12");
  const Activity::Waiting waiting(activity);
  EXPECT_TRUE(activity.beat().waiting);
}

TEST(Activity, ARankThatNeitherWaitsNorComputesIsIdle) {
  Activity activity;
  pass_time();
  EXPECT_TRUE(activity.is_idle(milliseconds(1)));
  EXPECT_FALSE(activity.is_idle(hours(1)));
  EXPECT_FALSE(activity.waits(milliseconds(1)));
  activity.doing("step 2");
  EXPECT_FALSE(activity.is_idle(milliseconds(200)));
}

TEST(Activity, ARankThatComputesIsNotIdle) {
  Activity activity;
  compute();
  EXPECT_FALSE(activity.is_idle(milliseconds(1)));
}

TEST(Activity, ARankThatWaitsIsNotIdle) {
  Activity activity;
  const Activity::Waiting waiting(activity);
  pass_time();
  EXPECT_FALSE(activity.is_idle(milliseconds(1)));
  EXPECT_TRUE(activity.waits(milliseconds(1)));
  EXPECT_FALSE(activity.waits(hours(1)));
}

TEST(Activity, AGpuThatIsBehindWaits) {
  Activity activity;
  bool reached = false;
  int marks = 0;
  const auto mark = [&] {
    ++marks;
    return [&] { return reached; };
  };
  activity.expect_gpu(mark);
  pass_time();
  activity.expect_gpu(mark);  // the first one is not reached yet
  EXPECT_EQ(marks, 1);
  EXPECT_TRUE(activity.waits(milliseconds(1)));
  EXPECT_TRUE(activity.beat().waiting);
  EXPECT_FALSE(activity.is_idle(milliseconds(1)));
  reached = true;
  EXPECT_FALSE(activity.waits(milliseconds(1)));
  activity.expect_gpu(mark);
  EXPECT_EQ(marks, 2);
}

TEST(Activity, OrdinaryPausesBetweenBeatsAreNotLong) {
  Activity activity;
  activity.beat();
  pass_time();
  activity.beat();
  EXPECT_EQ(activity.long_pause(hours(1)), Activity::Clock::duration());
}

}  // namespace
}  // namespace gear::dist
