#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "gear/dist/placement.h"

namespace gear::dist {

/// The ranks that this machine contributes to a run.
struct LaunchOptions {
  std::vector<std::string> command;  ///< of every rank: the path of the program, its arguments
  int64_t processes = 1;             ///< on this machine, as on every other
  int64_t machines = 1;
  int64_t machine = 0;  ///< which of them this is
  std::string master_address = "127.0.0.1";
  uint16_t master_port = 0;  ///< 0: one that is free here, for a single machine
  std::string run_id{};      ///< the same on all machines; empty: a new one, for a single machine
  std::chrono::milliseconds grace = std::chrono::seconds(30);
};

/// Starts these ranks in the environment that torchrun gives (see placement.h) and waits for them.
///
/// Rank 0 writes where this process writes; the lines of others pass through here and begin with
/// "[rank 3] ". SIGINT, SIGTERM and SIGUSR1 are passed on to all. When a rank fails it is named at
/// once; ranks that have not ended `grace` later are named and killed. No rank outlives this
/// process, not even when it is killed.
///
/// Returns the exit code that stands for all ranks: that of the first which failed; kRankLost for
/// one that was killed, kInternalError for one that crashed, 128 + signal for one that was ended by
/// a signal that was passed on; else kInterrupted when there is one; else kSuccess.
int launch(const LaunchOptions& options);

/// Whether launch() in the parent process has started this one.
bool is_launched(const Lookup& lookup = environment_variable);

}  // namespace gear::dist
