#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace gear::dist {

/// Which of the processes of a run this one is, and where they meet.
struct Placement {
  int64_t rank = 0;
  int64_t world_size = 1;
  int64_t local_rank = 0;        ///< among the processes of the run on this machine
  int64_t local_world_size = 1;  ///< how many those are
  std::string master_address = "127.0.0.1";
  uint16_t master_port = 0;
  std::string launcher{};        ///< who started it, for messages: "gear", "torchrun", "SLURM", ...
  std::string run_id{};          ///< tells the run from others that meet at the same address
  bool launcher_stores = false;  ///< the launcher serves the store there, so rank 0 does not
  std::string notice{};          ///< what the user may have meant otherwise; or nothing

  /// Whether all ranks run on this machine.
  bool is_on_one_machine() const { return local_world_size == world_size; }
};

/// The value of a variable of the environment, or nothing when it is not set or empty.
using Lookup = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> environment_variable(const std::string& name);

/// The place that a launcher gave this process; a process that nobody launched is a world of its
/// own. In this order:
///   torchrun  RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, and LOCAL_RANK with LOCAL_WORLD_SIZE
///             (without these two: one process a machine); launch() of gear sets them too
///   OpenMPI   OMPI_COMM_WORLD_{RANK,SIZE,LOCAL_RANK,LOCAL_SIZE}; on several machines MASTER_ADDR
///   SLURM     SLURM_{PROCID,LOCALID,NODEID}, SLURM_STEP_{ID,NUM_TASKS,TASKS_PER_NODE,NODELIST};
///   the
///             first node is the meeting place, the port follows from job and step
/// MASTER_ADDR and MASTER_PORT override the meeting place of the last two. A batch script that
/// SLURM started is one process, whatever number of tasks was granted: only srun starts tasks.
/// Throws Error naming the variable that is missing, no number, or contradicts another one.
Placement placement_from_environment(const Lookup& lookup = environment_variable);

}  // namespace gear::dist
