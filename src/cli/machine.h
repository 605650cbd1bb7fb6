#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gear::cli {

/// What /proc tells about this machine.
struct Machine {
  std::string cpu_model;
  bool avx2 = false, avx512 = false, avx512_bf16 = false, amx_bf16 = false;
  int64_t cores = 1;
  double memory_total = 0.0;      ///< bytes
  double memory_available = 0.0;  ///< bytes
  double load = 0.0;              ///< processes wanting a core, mean of the last minute
  double disk_free = 0.0;         ///< bytes, in the current folder
};
Machine read_machine();

/// Measured in about a second each, on LibTorch's threads.
double gemm_flops(bool bf16);     ///< FLOP/s of a 1024^3 matrix product
double memory_bytes_per_second();  ///< of a large copy, read and write counted

}  // namespace gear::cli
