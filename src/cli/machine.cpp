#include "cli/machine.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "gear/core/clock.h"
#include "gear/core/tensor.h"
#include "gear/train/memory_estimate.h"

namespace gear::cli {
namespace {

constexpr double kMeasureSeconds = 0.5;

void read_cpu(Machine& machine) {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    if (line.starts_with("model name")) machine.cpu_model = line.substr(colon + 2);
    if (!line.starts_with("flags")) continue;
    std::istringstream flags(line.substr(colon + 2));
    for (std::string flag; flags >> flag;) {
      machine.avx2 |= flag == "avx2";
      machine.avx512 |= flag == "avx512f";
      machine.avx512_bf16 |= flag == "avx512_bf16";
      machine.amx_bf16 |= flag == "amx_bf16";
    }
    return;  // all cores are alike
  }
}

double memory_total() {
  std::ifstream stream("/proc/meminfo");
  std::string label;
  double kib = 0.0;
  while (stream >> label) {
    if (label == "MemTotal:" && stream >> kib) return kib * 1024.0;
  }
  return 0.0;
}

/// Calls `work` until half a second has gone by; seconds per call.
template <class Work>
double seconds_per_call(Work&& work) {
  work();  // the first call also sets things up
  const Stopwatch watch;
  int64_t calls = 0;
  do {
    work();
    ++calls;
  } while (watch.seconds() < kMeasureSeconds);
  return watch.seconds() / static_cast<double>(calls);
}

}  // namespace

Machine read_machine() {
  Machine machine;
  read_cpu(machine);
  machine.cores = std::max(1U, std::thread::hardware_concurrency());
  machine.memory_total = memory_total();
  machine.memory_available = train::available_memory();
  std::ifstream("/proc/loadavg") >> machine.load;
  machine.disk_free = static_cast<double>(std::filesystem::space(".").available);
  return machine;
}

double gemm_flops(bool bf16) {
  constexpr int64_t kSize = 1024;
  const auto a = at::ones({kSize, kSize}, bf16 ? at::kBFloat16 : at::kFloat);
  auto out = at::empty_like(a);
  const double seconds = seconds_per_call([&] { at::mm_out(out, a, a); });
  return 2.0 * kSize * kSize * kSize / seconds;
}

double memory_bytes_per_second() {
  constexpr int64_t kValues = int64_t{1} << 26;  // 256 MiB: far beyond any cache
  const auto from = at::ones({kValues}, at::kFloat);
  auto to = at::empty_like(from);
  const double seconds = seconds_per_call([&] { to.copy_(from); });
  return 2.0 * 4.0 * kValues / seconds;
}

}  // namespace gear::cli
