// scripts/slurm/train.sbatch, with programs in place of SLURM's that do what the test says.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cli/gear_process.h"
#include "gear/dist/lost_rank.h"
#include "project_folders.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;

/// A job whose srun notes its arguments and ends as it is told.
class Job {
 public:
  Job() {
    write_program("srun", "echo \"$@\" >>srun.txt; exit $SRUN_STATUS");
    write_program("scontrol",
                  "[ $1 = show ] && echo \"   JobState=$JOB_STATE Reason=None\" || "
                  "echo \"$@\" >>scontrol.txt");
  }

  /// The exit code of the job, the time that it runs.
  int run(int srun_status, int restarts = 0, const std::string& state = "RUNNING") {
    const std::string command =
        "cd '" + root().string() +
        "' && PATH=$PWD:$PATH SRUN_STATUS=" + std::to_string(srun_status) + " JOB_STATE=" + state +
        " GEAR= SLURM_JOB_ID=7 SLURM_RESTART_COUNT=" + std::to_string(restarts) +
        " bash " GEAR_SOURCE_DIR "/scripts/slurm/train.sbatch 'a b.yaml' --set x=1 >>log.txt";
    return WEXITSTATUS(std::system(command.c_str()));
  }

  /// How often it went back into the queue.
  int64_t requeues() const {
    std::istringstream lines(text("scontrol.txt"));
    int64_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) EXPECT_EQ(line, "requeue 7");
    return count;
  }

  std::string text(const std::string& file) const {
    return fs::exists(root() / file) ? io::read_bytes(root() / file) : "";
  }

 private:
  const fs::path& root() const { return folder_.path(); }
  void write_program(const std::string& name, const std::string& body) const {
    std::ofstream(root() / name) << "#!/bin/sh\n" << body << "\n";
    fs::permissions(root() / name, fs::perms::owner_all);
  }

  io::TemporaryFolder folder_;
};

TEST(SlurmScript, AFinishedRunEndsTheJob) {
  Job job;
  EXPECT_EQ(job.run(exit_code::kSuccess), 0);
  EXPECT_EQ(job.requeues(), 0);
  EXPECT_THAT(job.text("srun.txt"), HasSubstr("build/release/gear train a b.yaml --set x=1"));
}

TEST(SlurmScript, AMistakeOrADefectEndsTheJob) {
  for (const int code : {exit_code::kUserError, exit_code::kInternalError, 139}) {
    Job job;
    EXPECT_EQ(job.run(code), code);
    EXPECT_EQ(job.requeues(), 0);
  }
}

TEST(SlurmScript, ARunThatSavedGoesBackIntoTheQueueAsOftenAsItTakes) {
  Job job;
  for (int restarts = 0; restarts < 20; ++restarts) {
    EXPECT_EQ(job.run(exit_code::kInterrupted, restarts), exit_code::kInterrupted);
  }
  EXPECT_EQ(job.requeues(), 20);
  EXPECT_THAT(job.text("log.txt"),
              HasSubstr("exit code 75 after 19 restarts: the job goes back into the queue"));
}

TEST(SlurmScript, ACancelledJobEnds) {
  Job job;
  for (const std::string state : {"CANCELLED", "COMPLETING", "PENDING"}) {  // or is in the queue
    EXPECT_EQ(job.run(exit_code::kInterrupted, 0, state), exit_code::kInterrupted);
    EXPECT_EQ(job.run(exit_code::kRankLost, 0, state), exit_code::kRankLost);
  }
  EXPECT_EQ(job.requeues(), 0);
}

TEST(SlurmScript, ARunThatLosesRanksStartsAgainFiveTimes) {
  for (const int code : {exit_code::kRankLost, 137}) {  // 137: what a killed rank gives srun
    Job job;
    for (int losses = 1; losses <= 7; ++losses) {
      EXPECT_EQ(job.run(code, 100 + losses), code);  // restarts for other reasons do not count
      EXPECT_EQ(job.requeues(), losses < 5 ? losses : 5);
    }
  }
}

}  // namespace
}  // namespace gear::cli::testing
