#include "dist/blame.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace gear::dist {
namespace {

const std::vector<RankHome> kHomes = {{"n1", 11}, {"n1", 12}, {"n2", 13}};

/// Three living ranks that wait in the same collective, at step 12.
Looks all_waiting() {
  Looks looks{.before = {}, .after = {}, .now = 1000.0, .states = {}};
  for (int rank = 0; rank < 3; ++rank) {
    looks.before.push_back(
        {.beats = 7, .collectives = 118, .waiting = true, .told_at = 996.0, .doing = "step 12"});
    looks.after.push_back(looks.before.back());
    looks.after.back().beats = 11;
    looks.after.back().told_at = 1000.0;
    looks.states.push_back(ProcessState::kUnknown);
  }
  return looks;
}

TEST(Blame, NobodyWhenAllWaitInTheSameCollective) { EXPECT_EQ(blame(kHomes, all_waiting()), ""); }

TEST(Blame, TheSilentOne) {
  Looks looks = all_waiting();
  looks.after[2] = looks.before[2];
  looks.after[2].told_at = 970.0;
  EXPECT_EQ(blame(kHomes, looks),
            "rank 2 (host n2, process 13) has not answered for 30 s; its last sign was step 12");
  looks.states[2] = ProcessState::kStopped;
  EXPECT_EQ(blame(kHomes, looks),
            "rank 2 (host n2, process 13) has not answered for 30 s, for it is stopped by a "
            "signal; its last sign was step 12");
  looks.states[2] = ProcessState::kEnded;
  EXPECT_EQ(blame(kHomes, looks),
            "rank 2 (host n2, process 13) has ended without a word; its last sign, 30 s ago, was "
            "step 12");
}

TEST(Blame, AllSilentOnes) {
  Looks looks = all_waiting();
  for (size_t rank : {1, 2}) looks.after[rank] = looks.before[rank];
  EXPECT_EQ(blame(kHomes, looks),
            "rank 1 (host n1, process 12) has not answered for 4 s; its last sign was step 12; "
            "rank 2 (host n2, process 13) has not answered for 4 s; its last sign was step 12");
}

TEST(Blame, TheOneThatLeft) {
  Looks looks = all_waiting();
  looks.after[1].finished = true;
  looks.after[1].beats = looks.before[1].beats;
  EXPECT_EQ(blame(kHomes, looks), "rank 1 (host n1, process 12) has left the run, at step 12");
}

TEST(Blame, TheOneThatDoesNotCome) {
  Looks looks = all_waiting();
  for (auto* look : {&looks.before, &looks.after}) {
    (*look)[1].waiting = false;
    (*look)[1].doing = "step 12, reading images";
  }
  EXPECT_EQ(blame(kHomes, looks),
            "rank 1 (host n1, process 12) does not come to where the others wait for it; it is at "
            "step 12, reading images");
  looks.after[1].waiting = true;  // it was only on its way
  EXPECT_EQ(blame(kHomes, looks), "");
}

TEST(Blame, TheOneThatWaitsInAnEarlierCollective) {
  Looks looks = all_waiting();
  looks.after[1].collectives = 117;
  EXPECT_EQ(blame(kHomes, looks),
            "rank 1 (host n1, process 12) waits in another collective than others (number 117, not "
            "118), at step 12");
}

TEST(Blame, OfManyRanksTheFirstFewAreNamed) {
  Looks looks;
  std::vector<RankHome> homes;
  for (int rank = 0; rank < 1024; ++rank) {
    homes.push_back({"n", rank});
    looks.before.push_back({.beats = 3, .told_at = 10.0, .doing = "step 1"});
    looks.states.push_back(ProcessState::kUnknown);
  }
  looks.after = looks.before;
  looks.now = 20.0;
  const std::string sentence = blame(homes, looks);
  EXPECT_NE(sentence.find("rank 3 (host n, process 3)"), std::string::npos);
  EXPECT_EQ(sentence.find("rank 4 "), std::string::npos);
  EXPECT_TRUE(sentence.ends_with("; and so on, 1024 ranks in all")) << sentence;
}

TEST(OthersWait, WhenEachOfThemStaysInOneCollective) {
  Looks looks = all_waiting();
  looks.before[1].waiting = looks.after[1].waiting = false;
  looks.after[2].collectives = looks.before[2].collectives = 120;  // not that of rank 0
  EXPECT_TRUE(others_wait(1, looks.before, looks.after));
  EXPECT_FALSE(others_wait(0, looks.before, looks.after));  // rank 1 is on its way
}

TEST(OthersWait, NotWhenOneOfThemGoesOn) {
  Looks looks = all_waiting();
  looks.after[2].collectives += 1;
  EXPECT_FALSE(others_wait(0, looks.before, looks.after));
}

TEST(OthersWait, NotWhenOneOfThemIsSilent) {
  Looks looks = all_waiting();
  looks.after[2].beats = looks.before[2].beats;
  EXPECT_FALSE(others_wait(0, looks.before, looks.after));
}

TEST(ProcessState, IsSeenOnThisMachine) {
  const pid_t child = ::fork();
  if (child == 0) {
    while (true) ::pause();
  }
  const RankHome home{.host = own_home().host, .process = child};
  EXPECT_EQ(state_of(home), ProcessState::kRunning);
  EXPECT_EQ(state_of({.host = "elsewhere", .process = child}), ProcessState::kUnknown);
  ::kill(child, SIGSTOP);
  ::waitpid(child, nullptr, WUNTRACED);
  EXPECT_EQ(state_of(home), ProcessState::kStopped);
  ::kill(child, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  EXPECT_EQ(state_of(home), ProcessState::kEnded);  // though nobody has reaped it
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(state_of(home), ProcessState::kEnded);
}

TEST(RankSign, SurvivesBeingATextOfTheStore) {
  const RankSign sign{.beats = 3,
                      .collectives = 4,
                      .waiting = true,
                      .told_at = 1795572114.25,
                      .doing = "step 12, reading images"};
  const RankSign read = sign_of(to_text(sign));
  EXPECT_EQ(read.beats, 3);
  EXPECT_EQ(read.collectives, 4);
  EXPECT_TRUE(read.waiting);
  EXPECT_FALSE(read.finished);
  EXPECT_EQ(read.told_at, 1795572114.25);
  EXPECT_EQ(read.doing, "step 12, reading images");
}

}  // namespace
}  // namespace gear::dist
