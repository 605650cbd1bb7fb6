#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dist/rank_sign.h"

namespace gear::dist {

/// "rank 2 (host n3, process 123)"
std::string name_of(int64_t rank, const RankHome& home);

/// What became of a process, as far as this machine can tell.
enum class ProcessState { kUnknown, kRunning, kStopped, kEnded };
ProcessState state_of(const RankHome& home);

/// "has not answered for 30 s; its last sign was step 12", of a rank without a sign since.
std::string silence(const RankSign& last, double now, ProcessState state);

/// Two looks at the signs of all ranks, far enough apart that every living one has given a new one.
struct Looks {
  std::vector<RankSign> before, after;
  double now = 0.0;                  // the wall clock at the second
  std::vector<ProcessState> states;  // then
};

/// Who keeps the other ranks waiting, as a sentence. In this order: those that are silent, those
/// that have left, those that do not come to the collective in which others wait, those that wait
/// in an earlier one. Empty when none of these is the reason.
std::string blame(const std::vector<RankHome>& homes, const Looks& looks);

/// Whether all ranks but `own` live and wait for others, each in the same collective at both looks.
bool others_wait(int64_t own, const std::vector<RankSign>& before,
                 const std::vector<RankSign>& after);

}  // namespace gear::dist
