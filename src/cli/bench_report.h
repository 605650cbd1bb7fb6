#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cli/machine.h"

namespace gear::cli {

/// What one call does, as far as it can be counted; 0: not counted.
struct Volume {
  double operations = 0.0;  ///< floating-point, those that no method can leave out
  double bytes = 0.0;       ///< read and written at least
  double items = 0.0;       ///< images, tokens
};

/// One way of computing something, to be timed.
struct Contender {
  std::string name;
  std::function<void()> work;
  Volume volume{};
};

struct Measurement {
  std::string name;
  double median_seconds = 0.0;
  double fastest_seconds = 0.0;
  double peak_bytes = 0.0;  ///< resident memory above that before the call
  Volume volume{};
};

/// Runs each contender once to warm up, then all in turn, `rounds` times: what disturbs the machine
/// disturbs all of them alike.
std::vector<Measurement> measure(const std::vector<Contender>& contenders, int64_t rounds);

struct BenchReport {
  std::string subject;  ///< "read-out of 2,048 tokens, ..."
  std::string items;    ///< what Volume::items counts
  std::vector<Measurement> measurements;
};

/// Prints the measurements beside the peaks of the machine, the ratios to the first contender, and
/// whether the machine was quiet; with a path also writes all of it as JSON.
///   machine  as it was before the measurements
void present(const BenchReport& report, const Machine& machine, const std::filesystem::path& json);

}  // namespace gear::cli
