// Ranks of `gear train --nproc-per-node` that are killed or stopped.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/rank_processes.h"
#include "gear/dist/lost_rank.h"

namespace gear::cli::testing {
namespace {

using ::testing::ContainsRegex;

const std::vector<std::string> kTwo = {"--nproc-per-node", "2"};

/// Whether the run of `process` has come to a checkpoint, from which another one may go on.
bool has_saved(const TinySetup& tiny, const GearProcess& process) {
  const auto found = [&] {
    std::error_code none;
    const fs::directory_iterator entries(tiny.run() / "checkpoints", none);
    return std::any_of(entries, fs::directory_iterator(), [](const auto& entry) {
      return entry.path().filename().string().starts_with("step-");
    });
  };
  return comes_true([&] { return found() || !process.running(); }) && process.running();
}

enum class Moment { kAny, kAmidASave };

/// Rank `unlucky` gets `signal` in the middle of a run, which then says `sentence` about it and can
/// be gone on with.
void expect_loss(size_t unlucky, int signal, const std::string& sentence,
                 Moment moment = Moment::kAny) {
  const TinySetup tiny;
  const std::vector<std::string> settings = {"steps=100000", "output.checkpoint_every=1",
                                             "parallel.timeout_seconds=4"};
  GearProcess process(tiny.root(), tiny.train_arguments(settings, kTwo));
  ASSERT_TRUE(has_saved(tiny, process));
  const auto ranks = children_of(process.id());
  ASSERT_EQ(ranks.size(), 2U);
  if (moment == Moment::kAmidASave) wait_for_save(tiny.run(), process);
  ::kill(ranks[unlucky], signal);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, exit_code::kRankLost) << outcome.err;
  const std::string other = unlucky == 0 ? "\\[rank 1\\] " : "";
  EXPECT_THAT(outcome.err, ContainsRegex(other + "error: rank " + std::to_string(unlucky) +
                                         " \\(host [^ ]+, process " +
                                         std::to_string(ranks[unlucky]) + "\\) " + sentence));
  for (const pid_t rank : ranks) EXPECT_TRUE(is_gone(rank));
  const Outcome again = tiny.train({"steps=1"}, kTwo);
  EXPECT_EQ(again.exit_code, exit_code::kSuccess) << again.err;
}

class LaunchLoss : public ::testing::TestWithParam<size_t> {};

TEST_P(LaunchLoss, AKilledRankIsNamedAndTheRunGoesOn) {
  expect_loss(GetParam(), SIGKILL, "has ended without a word");
}

TEST_P(LaunchLoss, AStoppedRankIsNamedAndTheRunGoesOn) {
  expect_loss(GetParam(), SIGSTOP,
              "has not answered for [0-9]+ s, for it is stopped by a signal; its last sign was ");
}

TEST_P(LaunchLoss, ARankThatIsStoppedAmidASaveIsNamedAndTheRunGoesOn) {
  expect_loss(GetParam(), SIGSTOP,
              "has not answered for [0-9]+ s, for it is stopped by a signal; its last sign was ",
              Moment::kAmidASave);
}

INSTANTIATE_TEST_SUITE_P(OfTwo, LaunchLoss, ::testing::Values(0U, 1U));

TEST(LaunchEnd, NoRankOutlivesAKilledLauncher) {
  const TinySetup tiny;
  GearProcess process(tiny.root(), tiny.train_arguments({"steps=100000"}, kTwo));
  ASSERT_TRUE(makes_progress(tiny, process));
  const auto ranks = children_of(process.id());
  ASSERT_EQ(ranks.size(), 2U);
  process.kill(SIGKILL);
  process.wait();
  EXPECT_TRUE(comes_true([&] { return is_gone(ranks[0]) && is_gone(ranks[1]); }));
}

}  // namespace
}  // namespace gear::cli::testing
