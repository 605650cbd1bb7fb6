#include "dist/variables.h"

#include <charconv>

#include "gear/core/error.h"

namespace gear::dist {

int64_t Variables::number(const std::string& name, int64_t low, int64_t high) const {
  const auto text = lookup_(name);
  if (!text) {
    fail(name, " is not set, though other variables of ", launcher_,
         " are; let it start gear again, or unset them to train in one process");
  }
  int64_t value = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error == std::errc() && stop == end && value >= low && value <= high) return value;
  fail(name, " (set by ", launcher_, "): expected a whole number from ", low, " to ", high,
       ", got ", *text);
}

Placement place(const Variables& variables, const PlaceNames& names) {
  Placement placement{.launcher = variables.launcher()};
  placement.world_size = variables.number(names.world_size, 1, kMostRanks);
  placement.rank = variables.number(names.rank, 0, placement.world_size - 1);
  return placement;
}

void place_locally(Placement& placement, const Variables& variables, const PlaceNames& names,
                   int64_t local_world_size) {
  placement.local_world_size = local_world_size;
  placement.local_rank = variables.number(names.local_rank, 0, local_world_size - 1);
}

void take_meeting_place(Placement& placement, const Variables& variables,
                        const std::string& address, uint16_t port) {
  placement.master_address = variables.has("MASTER_ADDR") ? variables.text("MASTER_ADDR") : address;
  placement.master_port =
      static_cast<uint16_t>(variables.number_or("MASTER_PORT", port, 1, kLastPort));
}

uint16_t port_of_run(uint64_t number) {
  constexpr uint64_t kFirst = 15000;
  constexpr uint64_t kCount = 15000;
  return static_cast<uint16_t>(kFirst + number % kCount);
}

}  // namespace gear::dist
