#pragma once

#include <string>

namespace gear {

/// Seconds on the monotonic clock.
double seconds_now();

/// "2026-01-31T12:00:00Z", the wall clock in UTC.
std::string utc_timestamp();

class Stopwatch {
 public:
  Stopwatch() : start_(seconds_now()) {}
  double seconds() const { return seconds_now() - start_; }
  void restart() { start_ = seconds_now(); }

 private:
  double start_;
};

}  // namespace gear
