#include "gear/dist/placement.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <map>

#include "dist/slurm.h"
#include "gear/core/error.h"

namespace gear::dist {
namespace {

using Environment = std::map<std::string, std::string>;

Placement placement_in(const Environment& environment) {
  return placement_from_environment([&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    if (found == environment.end() || found->second.empty()) return std::nullopt;
    return found->second;
  });
}

std::string error_in(const Environment& environment) {
  try {
    placement_in(environment);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// The environment with some variables changed; "" unsets one.
Environment with(Environment environment, const Environment& changes) {
  for (const auto& [name, value] : changes) environment[name] = value;
  return environment;
}

const Environment kTorchrun = {{"RANK", "5"},
                               {"WORLD_SIZE", "8"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "4"},
                               {"MASTER_ADDR", "node1"},
                               {"MASTER_PORT", "29501"},
                               {"TORCHELASTIC_RUN_ID", "mine"},
                               {"TORCHELASTIC_RESTART_COUNT", "2"}};

/// As srun sets them for the second task on the second node, seen on SLURM 22.05.
const Environment kSlurm = {{"SLURM_JOB_ID", "4242"},
                            {"SLURM_STEP_ID", "1"},
                            {"SLURM_PROCID", "5"},
                            {"SLURM_STEP_NUM_TASKS", "7"},
                            {"SLURM_NTASKS", "7"},
                            {"SLURM_LOCALID", "1"},
                            {"SLURM_NODEID", "1"},
                            {"SLURM_STEP_TASKS_PER_NODE", "4,3"},
                            {"SLURM_STEP_NODELIST", "gpu[07-08]"}};

const Environment kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "1"},
                              {"OMPI_COMM_WORLD_SIZE", "2"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                              {"PMIX_NAMESPACE", "1931804673"}};

TEST(Placement, AProcessThatNobodyLaunchedIsAlone) {
  const Placement alone = placement_in({{"HOME", "/root"}, {"MASTER_ADDR", "left-over"}});
  EXPECT_EQ(alone.rank, 0);
  EXPECT_EQ(alone.world_size, 1);
  EXPECT_EQ(alone.launcher, "");
  EXPECT_EQ(alone.notice, "");
}

TEST(Placement, UnderstandsTorchrun) {
  const Placement place = placement_in(kTorchrun);
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.world_size, 8);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_world_size, 4);
  EXPECT_EQ(place.master_address, "node1");
  EXPECT_EQ(place.master_port, 29501);
  EXPECT_EQ(place.launcher, "torchrun");
  EXPECT_EQ(place.run_id, "mine/2");
  EXPECT_FALSE(place.launcher_stores);
  EXPECT_TRUE(
      placement_in(with(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}})).launcher_stores);
}

TEST(Placement, KnowsItsOwnLauncherFromTorchrun) {
  const auto launched_by = [](pid_t process) {
    return placement_in(with(kTorchrun, {{"GEAR_LAUNCHER", std::to_string(process)}})).launcher;
  };
  EXPECT_EQ(launched_by(::getppid()), "gear");
  EXPECT_EQ(launched_by(::getpid()), "torchrun");  // it started what started torchrun
}

TEST(Placement, WithoutLocalRanksThereIsOneProcessAMachine) {
  const Placement place =
      placement_in(with(kTorchrun, {{"LOCAL_RANK", ""}, {"LOCAL_WORLD_SIZE", ""}}));
  EXPECT_EQ(place.local_rank, 0);
  EXPECT_EQ(place.local_world_size, 1);
}

TEST(Placement, AWorldOfOneNeedsNoAddress) {
  EXPECT_EQ(placement_in({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).world_size, 1);
}

TEST(Placement, NamesWhatIsWrongWithTorchrunsVariables) {
  EXPECT_EQ(error_in({{"RANK", "0"}}),
            "WORLD_SIZE is not set, though other variables of torchrun are; let it start gear "
            "again, or unset them to train in one process");
  EXPECT_EQ(error_in({{"WORLD_SIZE", "2"}}),
            "RANK is not set, though other variables of torchrun are; let it start gear again, or "
            "unset them to train in one process");
  EXPECT_EQ(error_in(with(kTorchrun, {{"RANK", "8"}})),
            "RANK (set by torchrun): expected a whole number from 0 to 7, got 8");
  EXPECT_EQ(error_in(with(kTorchrun, {{"RANK", "1x"}})),
            "RANK (set by torchrun): expected a whole number from 0 to 7, got 1x");
  EXPECT_EQ(error_in(with(kTorchrun, {{"LOCAL_RANK", "4"}})),
            "LOCAL_RANK (set by torchrun): expected a whole number from 0 to 3, got 4");
  EXPECT_THAT(error_in(with(kTorchrun, {{"LOCAL_RANK", ""}})),
              ::testing::StartsWith("LOCAL_RANK is not set"));
  EXPECT_THAT(error_in(with(kTorchrun, {{"LOCAL_WORLD_SIZE", ""}})),
              ::testing::StartsWith("LOCAL_WORLD_SIZE is not set"));
  EXPECT_EQ(error_in(with(kTorchrun, {{"MASTER_ADDR", ""}})),
            "MASTER_ADDR is not set, though WORLD_SIZE is 8; it names the machine of rank 0 and is "
            "the same for all ranks");
  EXPECT_THAT(error_in(with(kTorchrun, {{"MASTER_PORT", ""}})),
              ::testing::StartsWith("MASTER_PORT is not set"));
  EXPECT_EQ(error_in(with(kTorchrun, {{"MASTER_PORT", "70000"}})),
            "MASTER_PORT (set by torchrun): expected a whole number from 1 to 65535, got 70000");
}

TEST(Placement, UnderstandsTasksOfSlurm) {
  const Placement place = placement_in(kSlurm);
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.world_size, 7);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_world_size, 3);
  EXPECT_EQ(place.master_address, "gpu07");
  EXPECT_EQ(place.launcher, "SLURM");
  EXPECT_EQ(place.run_id, "4242.1");
}

TEST(Placement, TasksOfOneSlurmStepMeetAtOnePortAndThoseOfAnotherElsewhere) {
  const auto port = placement_in(kSlurm).master_port;
  EXPECT_GE(port, 1024);
  EXPECT_EQ(placement_in(with(kSlurm, {{"SLURM_PROCID", "4"}, {"SLURM_LOCALID", "0"}})).master_port,
            port);
  EXPECT_NE(placement_in(with(kSlurm, {{"SLURM_STEP_ID", "2"}})).master_port, port);
  EXPECT_NE(placement_in(with(kSlurm, {{"SLURM_JOB_ID", "4243"}})).master_port, port);
}

TEST(Placement, AnAddressThatIsSetOverridesThatOfSlurm) {
  const Placement place =
      placement_in(with(kSlurm, {{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "1234"}}));
  EXPECT_EQ(place.master_address, "10.0.0.1");
  EXPECT_EQ(place.master_port, 1234);
}

TEST(Placement, SlurmTasksOfOneMachineMeetAtItsLoopback) {
  EXPECT_EQ(placement_in(with(kSlurm, {{"SLURM_STEP_TASKS_PER_NODE", "7"},
                                       {"SLURM_NODEID", "0"},
                                       {"SLURM_STEP_NODELIST", "gpu07"}}))
                .master_address,
            "127.0.0.1");
}

TEST(Placement, ABatchScriptOfSlurmIsOneProcessAndSaysSo) {
  const Environment batch = with(kSlurm, {{"SLURM_STEP_ID", ""}, {"SLURM_PROCID", "0"}});
  const Placement place = placement_in(batch);
  EXPECT_EQ(place.world_size, 1);
  EXPECT_EQ(place.notice,
            "SLURM granted 7 tasks, but gear was not started by srun and trains in this process "
            "alone; write srun in front of gear, or add --nproc-per-node");
  EXPECT_EQ(placement_in(with(batch, {{"SLURM_NTASKS", "1"}})).notice, "");
  const Environment salloc = with(kSlurm, {{"SLURM_STEP_ID", "4294967290"}});
  EXPECT_EQ(placement_in(salloc).world_size, 1);
}

TEST(Placement, NamesWhatIsWrongWithSlurmsVariables) {
  EXPECT_EQ(error_in(with(kSlurm, {{"SLURM_PROCID", ""}})),
            "SLURM_PROCID is not set, though other variables of SLURM are; let it start gear "
            "again, or unset them to train in one process");
  EXPECT_EQ(error_in(with(kSlurm, {{"WORLD_SIZE", "14"}})),
            "WORLD_SIZE is 14, but srun started 7 tasks; unset WORLD_SIZE, which is not needed "
            "under srun");
  EXPECT_EQ(error_in(with(kSlurm, {{"SLURM_STEP_TASKS_PER_NODE", "4(x,3"}})),
            "SLURM_STEP_TASKS_PER_NODE (set by SLURM): expected the numbers of tasks of all nodes, "
            "as in 4(x2),3, got 4(x,3 on node 1 of a step of 7 tasks");
  EXPECT_EQ(error_in(with(kSlurm, {{"SLURM_STEP_NODELIST", "gpu[07"}})),
            "SLURM_STEP_NODELIST (set by SLURM): expected the nodes of the step, as in n[1-4], got "
            "gpu[07; name the node of rank 0 in MASTER_ADDR");
}

TEST(Placement, UnderstandsOpenMpi) {
  const Placement place = placement_in(kOpenMpi);
  EXPECT_EQ(place.rank, 1);
  EXPECT_EQ(place.world_size, 2);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_world_size, 2);
  EXPECT_EQ(place.master_address, "127.0.0.1");
  EXPECT_GE(place.master_port, 1024);
  EXPECT_EQ(place.launcher, "mpirun");
  EXPECT_EQ(placement_in(with(kOpenMpi, {{"PMIX_NAMESPACE", ""}})).master_port, 29500);
}

TEST(Placement, OpenMpiOnSeveralMachinesNeedsAnAddress) {
  const Environment several =
      with(kOpenMpi, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}});
  EXPECT_EQ(error_in(several),
            "MASTER_ADDR is not set, and mpirun does not tell where rank 0 of a run on several "
            "machines is; name its machine, as in mpirun -x MASTER_ADDR=node1");
  EXPECT_EQ(placement_in(with(several, {{"MASTER_ADDR", "node1"}})).master_address, "node1");
}

TEST(Placement, MpirunAndTorchrunWithinASlurmJobCountMoreThanTheJob) {
  EXPECT_EQ(placement_in(with(kSlurm, kOpenMpi)).launcher, "mpirun");
  EXPECT_EQ(placement_in(with(kSlurm, kTorchrun)).launcher, "torchrun");
}

TEST(Slurm, FindsTheFirstHostOfAList) {
  EXPECT_EQ(first_host("vm"), "vm");
  EXPECT_EQ(first_host("n1,n2"), "n1");
  EXPECT_EQ(first_host("n[01-03,07],m5"), "n01");
  EXPECT_EQ(first_host("n[7,9]-ib"), "n7-ib");
  EXPECT_EQ(first_host("rack[2-3]n[04-08]"), "rack2n04");
  EXPECT_EQ(first_host("n[1"), "");
  EXPECT_EQ(first_host(""), "");
}

TEST(Slurm, CountsTheTasksOfANode) {
  EXPECT_EQ(tasks_on_node("2", 0), 2);
  EXPECT_EQ(tasks_on_node("4(x2),3", 0), 4);
  EXPECT_EQ(tasks_on_node("4(x2),3", 1), 4);
  EXPECT_EQ(tasks_on_node("4(x2),3", 2), 3);
  EXPECT_EQ(tasks_on_node("4(x2),3", 3), 0);
  EXPECT_EQ(tasks_on_node("4(x2", 0), 0);
  EXPECT_EQ(tasks_on_node("", 0), 0);
}

}  // namespace
}  // namespace gear::dist
