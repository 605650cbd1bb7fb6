#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace gear::testing {

/// `trials` of a slow test, times the environment variable GEAR_SLOW_SCALE (1 when it is not set).
inline int64_t scaled(int64_t trials) {
  const char* text = std::getenv("GEAR_SLOW_SCALE");
  const double scale = text == nullptr ? 1.0 : std::max(0.0, std::atof(text));
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(trials) * scale));
}

}  // namespace gear::testing
