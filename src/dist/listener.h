#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gear::dist {

enum class Reach { kListening, kSilent, kUnknownHost };

/// Whether somebody listens on that port of a host, found out within seconds.
Reach reach(const std::string& host, uint16_t port);

/// Tries until somebody listens or the time is over.
Reach reach_until(const std::string& host, uint16_t port,
                  std::chrono::steady_clock::time_point deadline);

}  // namespace gear::dist
