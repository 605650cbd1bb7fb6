#pragma once

#include <cstdint>
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
  std::string launcher;  ///< who started it, for messages: "torchrun", "SLURM", ...; empty: nobody
};

}  // namespace gear::dist
