// `gear train` started in several processes, by itself and by others.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/rank_processes.h"
#include "dist/launch_environment.h"

namespace gear::cli::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<std::string> kTwo = {"--nproc-per-node", "2"};

int64_t count(const std::string& text, const std::string& part) {
  int64_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

TEST(Launch, TwoProcessesTrainTogetherAndWriteOneRun) {
  const TinySetup tiny;
  const Outcome outcome = tiny.train({}, kTwo);
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("2 ranks started by gear, parallel.shard"));
  EXPECT_EQ(count(outcome.err, "finished 3 steps"), 1);
  EXPECT_THAT(names_in(tiny.run() / "checkpoints"), ::testing::Contains("step-00000003"));
}

TEST(Launch, AStoppedRunGoesOnOnAnotherNumberOfProcesses) {
  const TinySetup tiny;
  const std::vector<std::string> many = {"steps=100000"};
  GearProcess process(tiny.root(), tiny.train_arguments(many, kTwo));
  ASSERT_TRUE(makes_progress(tiny, process));
  const auto ranks = children_of(process.id());
  EXPECT_EQ(ranks.size(), 2U);
  process.kill(SIGTERM);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, exit_code::kInterrupted) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("SIGTERM: stopped after step"));
  for (const pid_t rank : ranks) EXPECT_TRUE(is_gone(rank));
  const Outcome again = tiny.train({"steps=1"});
  EXPECT_EQ(again.exit_code, exit_code::kSuccess) << again.err;
  EXPECT_THAT(again.err, HasSubstr("going on from"));
}

TEST(Launch, ASignalToOneRankStopsAll) {
  const TinySetup tiny;
  GearProcess process(tiny.root(), tiny.train_arguments({"steps=100000"}, kTwo));
  ASSERT_TRUE(makes_progress(tiny, process));
  const auto ranks = children_of(process.id());
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks[1], SIGUSR1);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, exit_code::kInterrupted) << outcome.err;
}

TEST(Launch, MistakesAreToldOnce) {
  const TinySetup tiny;
  const Outcome typo = tiny.train({"ar.dpeth=3"}, kTwo);
  expect_user_error(typo, "--set ar.dpeth: unknown key; did you mean depth?");
  EXPECT_EQ(count(typo.err, "error: "), 1);
  const Outcome batch = tiny.train({}, {"--nproc-per-node", "3"});
  expect_user_error(batch,
                    "data.batch_size: must be a multiple of 3 (3 ranks with 1 micro-batches each), "
                    "got 4; change it, optimizer.accumulation or the number of ranks");
  EXPECT_EQ(count(batch.err, "error: "), 1);
}

TEST(Launch, ArgumentsThatDoNotFitAreRefused) {
  const TinySetup tiny;
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& message) {
    expect_user_error(tiny.train({}, arguments), message);
  };
  refused({"--nproc-per-node", "two"},
          "--nproc-per-node: expected a number from 1 to 4096, or gpu, got two");
  refused({"--nproc-per-node", "0"},
          "--nproc-per-node: expected a number from 1 to 4096, or gpu, got 0");
  refused({"--nproc-per-node", "1", "--nnodes", "2"},
          "--nnodes 2 needs --node-rank: which of the machines this is, from 0 to 1");
  refused({"--nproc-per-node", "1", "--nnodes", "2", "--node-rank", "2"},
          "--node-rank: expected a number from 0 to 1, got 2");
  refused({"--nproc-per-node", "1", "--nnodes", "2", "--node-rank", "1"},
          "--nnodes 2 needs --master-addr: the machine of --node-rank 0, the same on all machines");
}

TEST(Launch, ALauncherWithinAnotherIsRefused) {
  const TinySetup tiny;
  const Variables torchrun({{"RANK", "0"},
                            {"WORLD_SIZE", "2"},
                            {"LOCAL_RANK", "0"},
                            {"LOCAL_WORLD_SIZE", "2"},
                            {"MASTER_ADDR", "127.0.0.1"},
                            {"MASTER_PORT", "29500"}});
  expect_user_error(tiny.train({}, kTwo),
                    "--nproc-per-node: torchrun has started this process as one of 2 ranks "
                    "already; leave --nproc-per-node out, or let torchrun start one process on "
                    "each machine");
}

/// Two processes that another launcher has started, as `variables_of` tells each.
std::vector<Outcome> train_under(
    const TinySetup& tiny,
    const std::function<std::map<std::string, std::string>(const std::string& rank)>& variables_of,
    const std::vector<std::string>& of_second = {}) {
  std::vector<std::unique_ptr<GearProcess>> processes;
  for (const std::string rank : {"0", "1"}) {
    const Variables variables(variables_of(rank));
    fs::create_directories(tiny.root() / rank);
    processes.push_back(std::make_unique<GearProcess>(
        tiny.root() / rank,
        tiny.train_arguments(rank == "1" ? of_second : std::vector<std::string>())));
  }
  return {processes[0]->wait(), processes[1]->wait()};
}

TEST(Launch, TasksOfSlurmTrainTogether) {
  const TinySetup tiny;
  const std::string job = std::to_string(::getpid());
  const auto outcomes = train_under(tiny, [&](const std::string& rank) {
    return std::map<std::string, std::string>{{"SLURM_JOB_ID", job},
                                              {"SLURM_STEP_ID", "0"},
                                              {"SLURM_PROCID", rank},
                                              {"SLURM_LOCALID", rank},
                                              {"SLURM_NODEID", "0"},
                                              {"SLURM_STEP_NUM_TASKS", "2"},
                                              {"SLURM_STEP_TASKS_PER_NODE", "2"},
                                              {"SLURM_STEP_NODELIST", "vm"}};
  });
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  }
  EXPECT_THAT(outcomes[0].err, HasSubstr("2 ranks started by SLURM"));
  EXPECT_THAT(outcomes[1].err, Not(HasSubstr("finished")));  // one rank speaks for all
}

TEST(Launch, RanksWithDifferentConfigurationsSayInWhatTheyDiffer) {
  const TinySetup tiny;
  const std::string port = std::to_string(dist::free_port());
  const auto outcomes =
      train_under(tiny,
                  [&](const std::string& rank) {
                    return std::map<std::string, std::string>{{"RANK", rank},
                                                              {"WORLD_SIZE", "2"},
                                                              {"LOCAL_RANK", rank},
                                                              {"LOCAL_WORLD_SIZE", "2"},
                                                              {"MASTER_ADDR", "127.0.0.1"},
                                                              {"MASTER_PORT", port}};
                  },
                  {"optimizer.ar_lr=0.5"});
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.exit_code, exit_code::kUserError) << outcome.err;
    EXPECT_THAT(outcome.last_error_line(),
                ContainsRegex("error: rank 1 \\(host [^ ]+\\) differs from rank 0 \\(host [^ ]+\\) "
                              "in optimizer.ar_lr: 0.5, not [^ ]+; start the same program with "
                              "the same configuration on all ranks"));
  }
  EXPECT_FALSE(fs::exists(tiny.run()));
}

}  // namespace
}  // namespace gear::cli::testing
