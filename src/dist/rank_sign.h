#pragma once

#include <cstdint>
#include <string>

namespace gear::dist {

/// Where a rank runs.
struct RankHome {
  std::string host;
  int64_t process = 0;
};
RankHome own_home();

/// What a rank tells about itself once a second.
struct RankSign {
  int64_t beats = 0;        // grows as long as its process runs
  int64_t collectives = 0;  // entered so far
  bool waiting = false;     // for other ranks, in a collective
  bool finished = false;    // it has left the world
  double told_at = 0.0;     // seconds since 1970, by its clock
  std::string doing;        // "step 12"
};

/// As texts of the store.
std::string to_text(const RankHome& home);
std::string to_text(const RankSign& sign);
RankHome home_of(const std::string& text);
RankSign sign_of(const std::string& text);

/// Seconds since 1970.
double wall_clock();

}  // namespace gear::dist
