#include "dist/blame.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <utility>

#include "gear/core/text.h"

namespace gear::dist {
namespace {

using Ranks = std::vector<int64_t>;

Ranks ranks_where(const Looks& looks,
                  const std::function<bool(const RankSign&, const RankSign&)>& holds) {
  Ranks ranks;
  for (size_t rank = 0; rank < looks.after.size(); ++rank) {
    if (holds(looks.before[rank], looks.after[rank])) ranks.push_back(static_cast<int64_t>(rank));
  }
  return ranks;
}

/// The sentence about each of some ranks; of many, the first few.
std::string tell(const Ranks& ranks, const std::vector<RankHome>& homes,
                 const std::function<std::string(size_t)>& predicate) {
  constexpr size_t kMostNamed = 4;
  std::vector<std::string> parts;
  for (const int64_t rank : ranks) {
    if (parts.size() == kMostNamed) {
      parts.push_back("and so on, " + std::to_string(ranks.size()) + " ranks in all");
      break;
    }
    const auto at = static_cast<size_t>(rank);
    parts.push_back(name_of(rank, homes[at]) + " " + predicate(at));
  }
  return join(parts, "; ");
}

}  // namespace

std::string name_of(int64_t rank, const RankHome& home) {
  return "rank " + std::to_string(rank) + " (host " + home.host + ", process " +
         std::to_string(home.process) + ")";
}

ProcessState state_of(const RankHome& home) {
  if (home.host != own_home().host) return ProcessState::kUnknown;
  std::ifstream status("/proc/" + std::to_string(home.process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("State:")) continue;
    const char state = line[line.find_first_not_of(" \t", 6)];
    if (state == 'T' || state == 't') return ProcessState::kStopped;
    return state == 'Z' || state == 'X' ? ProcessState::kEnded : ProcessState::kRunning;
  }
  return ProcessState::kEnded;
}

std::string silence(const RankSign& last, double now, ProcessState state) {
  const std::string since = format_duration(std::max(0.0, now - last.told_at));
  if (state == ProcessState::kEnded) {
    return "has ended without a word; its last sign, " + since + " ago, was " + last.doing;
  }
  return "has not answered for " + since +
         (state == ProcessState::kStopped ? ", for it is stopped by a signal" : "") +
         "; its last sign was " + last.doing;
}

std::string blame(const std::vector<RankHome>& homes, const Looks& looks) {
  const auto silent = ranks_where(looks, [](const RankSign& before, const RankSign& after) {
    return !after.finished && after.beats == before.beats;
  });
  if (!silent.empty()) {
    return tell(silent, homes, [&](size_t rank) {
      return silence(looks.after[rank], looks.now, looks.states[rank]);
    });
  }
  const auto left =
      ranks_where(looks, [](const RankSign&, const RankSign& after) { return after.finished; });
  if (!left.empty()) {
    return tell(left, homes,
                [&](size_t rank) { return "has left the run, at " + looks.after[rank].doing; });
  }
  const auto elsewhere = ranks_where(looks, [](const RankSign& before, const RankSign& after) {
    return !before.waiting && !after.waiting && after.collectives == before.collectives;
  });
  if (!elsewhere.empty() && elsewhere.size() < looks.after.size()) {
    return tell(elsewhere, homes, [&](size_t rank) {
      return "does not come to where the others wait for it; it is at " + looks.after[rank].doing;
    });
  }
  const auto [fewest, most] = std::minmax_element(
      looks.after.begin(), looks.after.end(),
      [](const RankSign& a, const RankSign& b) { return a.collectives < b.collectives; });
  if (fewest->collectives == most->collectives) return "";
  const auto behind = ranks_where(looks, [&](const RankSign&, const RankSign& after) {
    return after.collectives == fewest->collectives;
  });
  return tell(behind, homes, [&](size_t rank) {
    return "waits in another collective than others (number " +
           std::to_string(fewest->collectives) + ", not " + std::to_string(most->collectives) +
           "), at " + looks.after[rank].doing;
  });
}

bool others_wait(int64_t own, const std::vector<RankSign>& before,
                 const std::vector<RankSign>& after) {
  for (size_t rank = 0; rank < after.size(); ++rank) {
    if (static_cast<int64_t>(rank) == own) continue;
    const RankSign &then = before[rank], &now = after[rank];
    const bool waits = then.waiting && now.waiting && then.collectives == now.collectives;
    if (!waits || then.beats == now.beats) return false;
  }
  return true;
}

}  // namespace gear::dist
