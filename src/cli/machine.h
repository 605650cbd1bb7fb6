#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gear::cli {

/// What the operating system says about the machine, as far as it matters to training.
struct Machine {
  std::string cpu = "unknown CPU";
  std::vector<std::string> features;  ///< of kCpuFeatures, those the CPU has
  int64_t cores = 1;                  ///< this process may run on, as the scheduler sees them
  double core_quota = 0.0;            ///< processor time a container grants; 0: no limit
  double load = 0.0;                  ///< programs that wanted to run, mean of the last minute
  double memory_total = 0.0;          ///< bytes
  double memory_available = 0.0;
  double disk_free = 0.0;  ///< bytes left in the current folder
  std::string gpu_driver;  ///< version of NVIDIA's driver, "" without one

  bool has(const std::string& feature) const;
};

/// The names of /proc/cpuinfo that decide about speed.
inline const std::vector<std::string> kCpuFeatures = {"avx2", "avx512f", "avx512_bf16", "amx_bf16"};

Machine describe_machine();

/// Short measurements of about half a second each, with LibTorch's threads as set.
struct MachineSpeed {
  double fp32_flops = 0.0;  ///< floating-point operations a second in a matrix product
  double bf16_flops = 0.0;
  double fp32_convolution_flops = 0.0;  ///< in the library's 3x3 convolution, channels-last
  double bf16_convolution_flops = 0.0;
  double bytes_per_second = 0.0;  ///< read, or read and written by a copy, whichever is more
};
MachineSpeed measure_machine();

}  // namespace gear::cli
