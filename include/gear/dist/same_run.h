#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gear/dist/world.h"

namespace gear::dist {

/// Names and values that all ranks must have in common: {"ar.depth", "12"}. Each is one line.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// What tells one program from another: its version, its build, its LibTorch.
Facts program_facts(const std::string& version);

/// Throws Error on every rank when the facts of any rank differ from those of rank 0, naming the
/// rank and each fact, and where clocks disagree by more than a minute; warns where they do by more
/// than a few seconds. A collective.
void expect_same_run(const World& world, const Facts& facts);

/// "ar.depth: 24, not 12; data.path: absent, not /data", or nothing: what differs from `expected`.
std::string difference(const Facts& facts, const Facts& expected);

struct HostTime {
  std::string host;
  double seconds = 0.0;  ///< its wall clock, read by all at the same time
};
/// A sentence about the two clocks that disagree most, when that is more than `tolerated` seconds;
/// or nothing.
std::string clock_difference(const std::vector<HostTime>& times, double tolerated);
/// Throws Error when that is more than a minute.
void expect_clocks_agree(const std::vector<HostTime>& times);

}  // namespace gear::dist
