#pragma once

#include <cstdlib>
#include <fstream>
#include <string>

namespace gear::io {

/// How much more memory this process held at once than when the object was made, from the
/// high-water mark of resident pages that Linux keeps. Where the mark cannot be reset (proc(5),
/// clear_refs), growth below an earlier one is not seen.
class PeakMemory {
 public:
  PeakMemory() {
    std::ofstream("/proc/self/clear_refs") << "5";
    before_ = peak_mib();
  }
  double growth_mib() const { return peak_mib() - before_; }

 private:
  static double peak_mib() {
    const std::string key = "VmHWM:";
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(key)) return std::atof(line.c_str() + key.size()) / 1024.0;  // from kB
    }
    return 0.0;
  }

  double before_ = 0.0;
};

}  // namespace gear::io
