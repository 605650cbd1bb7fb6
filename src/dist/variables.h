#pragma once

#include <cstdint>
#include <string>

#include "gear/dist/placement.h"

namespace gear::dist {

inline constexpr int64_t kMostRanks = 1 << 20;
inline constexpr int64_t kLastPort = 65535;

/// The variables that one launcher sets; what is wrong with one becomes a sentence that names it.
class Variables {
 public:
  Variables(const Lookup& lookup, std::string launcher)
      : lookup_(lookup), launcher_(std::move(launcher)) {}

  bool has(const std::string& name) const { return lookup_(name).has_value(); }
  std::string text(const std::string& name) const { return lookup_(name).value_or(""); }
  const std::string& launcher() const { return launcher_; }

  /// A whole number from `low` up to `high`.
  int64_t number(const std::string& name, int64_t low, int64_t high) const;
  int64_t number_or(const std::string& name, int64_t usual, int64_t low, int64_t high) const {
    return has(name) ? number(name, low, high) : usual;
  }

 private:
  const Lookup& lookup_;
  std::string launcher_;
};

/// The names under which a launcher tells the place of a process.
struct PlaceNames {
  const char* rank;
  const char* world_size;
  const char* local_rank;
};

/// The rank and the size of the world.
Placement place(const Variables& variables, const PlaceNames& names);
void place_locally(Placement& placement, const Variables& variables, const PlaceNames& names,
                   int64_t local_world_size);

/// MASTER_ADDR and MASTER_PORT where they are set, else these.
void take_meeting_place(Placement& placement, const Variables& variables,
                        const std::string& address, uint16_t port);

/// A port for the run of that number, below those that systems hand to clients.
uint16_t port_of_run(uint64_t number);

}  // namespace gear::dist
