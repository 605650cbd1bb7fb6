// Ranks that hang, die or fail in every way: the others name them and all end.

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>

#include <csignal>
#include <thread>

#include "dist/launched_ranks.h"

namespace gear::dist {
namespace {

using std::chrono::seconds;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::launch_ranks;
using testing::Launched;
using ::testing::Not;

constexpr auto kTimeout = seconds(4);

/// Three common steps; then `mishap` happens on one rank while the others go on.
Launched launch_with(int64_t unlucky, const std::function<void(const World&)>& mishap,
                     seconds timeout = kTimeout) {
  return launch_ranks(3, timeout, [&](const World& world) {
    for (int step = 1;; ++step) {
      world.doing("step " + std::to_string(step));
      if (step == 4 && world.rank() == unlucky) mishap(world);
      world.sum(at::ones({4}));
    }
  });
}

std::string named(int64_t rank) {
  return "rank " + std::to_string(rank) + " \\(host [^ ]+, process [0-9]+\\) ";
}

/// All ranks but one have said the same sentence about that one, and none has hung.
void expect_blamed(const Launched& launched, int64_t unlucky, const std::string& sentence) {
  EXPECT_EQ(launched.code, exit_code::kRankLost) << launched.err;
  for (int64_t rank = 0; rank < 3; ++rank) {
    if (rank == unlucky) continue;
    const std::string prefix = rank == 0 ? "(^|\n)" : "\\[rank " + std::to_string(rank) + "\\] ";
    EXPECT_THAT(launched.err, ContainsRegex(prefix + "error: " + named(unlucky) + sentence));
  }
  EXPECT_THAT(launched.err, Not(HasSubstr("Exception raised")));
  EXPECT_THAT(launched.err, Not(HasSubstr("c10d")));
}

void stop(const World&) { std::raise(SIGSTOP); }
void die(const World&) { std::raise(SIGKILL); }
void sleep_forever(const World&) {
  while (true) std::this_thread::sleep_for(seconds(1000));
}

class Unlucky : public ::testing::TestWithParam<int64_t> {};  // rank 0 serves the store

TEST_P(Unlucky, AStoppedRankIsNamedAndKilled) {
  const Launched launched = launch_with(GetParam(), stop);
  expect_blamed(launched, GetParam(),
                "has not answered for [0-9]+ s, for it is stopped by a signal; its last sign was "
                "(step [34]|the start)");
  EXPECT_THAT(launched.err, ContainsRegex("error: rank " + std::to_string(GetParam()) +
                                          " \\(process [0-9]+\\) did not end within 30 s"));
}

TEST_P(Unlucky, AKilledRankIsNamed) {
  const Launched launched = launch_with(GetParam(), die);
  expect_blamed(launched, GetParam(),
                "has ended without a word; its last sign, [0-9]+ s ago, was (step [34]|the start)");
  EXPECT_THAT(launched.err, ContainsRegex("error: rank " + std::to_string(GetParam()) +
                                          " \\(process [0-9]+\\) was ended by SIGKILL"));
}

TEST_P(Unlucky, ARankThatDoesNotComeIsNamedAndEnds) {
  const Launched launched = launch_with(GetParam(), sleep_forever);
  expect_blamed(launched, GetParam(),
                "(does not come to where the others wait for it; it is at step 4|has been at step "
                "4 for [0-9]+ s without computing anything)");
  EXPECT_THAT(launched.err, Not(HasSubstr("did not end within")));  // it has ended itself
}

TEST_P(Unlucky, ARankThatFailsIsNamedWithItsReason) {
  const Launched launched = launch_with(GetParam(), [](const World& world) {
    world.fail_others("out of cheese");
    fail("out of cheese");
  });
  EXPECT_EQ(launched.code, exit_code::kUserError) << launched.err;
  EXPECT_THAT(launched.err, ContainsRegex("error: " + named(GetParam()) + "failed: out of cheese"));
  EXPECT_THAT(launched.err, ContainsRegex("error: rank " + std::to_string(GetParam()) +
                                          " \\(process [0-9]+\\) ended with exit code 2"));
}

TEST_P(Unlucky, ARankThatFailsAmidCollectivesIsNamedWithItsReason) {
  const auto mishap = [](const World& world) {
    EXPECT_THAT(world.share_failure("out of cheese"), ::testing::ElementsAre("out of cheese"));
    EXPECT_TRUE(world.is_stopping());
    fail("out of cheese");
  };
  const Launched launched = launch_with(GetParam(), mishap, seconds(60));
  EXPECT_EQ(launched.code, exit_code::kUserError) << launched.err;
  EXPECT_THAT(launched.err, ContainsRegex("error: " + named(GetParam()) + "failed: out of cheese"));
  EXPECT_THAT(launched.err, Not(HasSubstr("has not answered")));
}

TEST_P(Unlucky, ARankThatLeavesIsNamed) {
  const Launched launched = launch_with(GetParam(), [](const World&) { throw Error("gone"); });
  EXPECT_EQ(launched.code, exit_code::kUserError) << launched.err;
  EXPECT_THAT(launched.err,
              ContainsRegex("error: " + named(GetParam()) + "has left the run, at step 4"));
}

INSTANTIATE_TEST_SUITE_P(OfThree, Unlucky, ::testing::Values(0, 1));

TEST(Hang, OfAllRanksIsNoticedByThemselves) {
  const Launched launched = launch_ranks(2, kTimeout, [](const World& world) {
    world.sum(at::ones({4}));
    world.doing("step 1, reading images");
    sleep_forever(world);
  });
  EXPECT_EQ(launched.code, exit_code::kRankLost) << launched.err;
  EXPECT_THAT(launched.err,
              ContainsRegex("error: rank [01] \\(host [^ ]+, process [0-9]+\\) has been at step 1, "
                            "reading images for [0-9]+ s without computing anything"));
}

TEST(Hang, ASlowStepIsNone) {
  const Launched launched = launch_ranks(2, kTimeout, [](const World& world) {
    world.sum(at::ones({4}));
    volatile double work = 0;
    const auto end = std::chrono::steady_clock::now() + 3 * kTimeout;
    while (std::chrono::steady_clock::now() < end) work = work + 1;
    world.sum(at::ones({4}));
  });
  EXPECT_EQ(launched.code, exit_code::kSuccess) << launched.err;
}

TEST(Hang, AShortStopHarmsNobody) {
  const Launched launched = launch_ranks(2, seconds(30), [](const World& world) {
    for (int step = 0; step < 3; ++step) world.sum(at::ones({4}));
    if (world.rank() == 0) {
      const pid_t own = ::getpid();
      if (::fork() == 0) {
        std::this_thread::sleep_for(seconds(6));
        ::kill(own, SIGCONT);
        ::_exit(0);
      }
      std::raise(SIGSTOP);
    }
    for (int step = 0; step < 3; ++step) world.sum(at::ones({4}));
  });
  EXPECT_EQ(launched.code, exit_code::kSuccess) << launched.err;
}

}  // namespace
}  // namespace gear::dist
