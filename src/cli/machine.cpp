#include "cli/machine.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <thread>

#include "gear/core/clock.h"
#include "gear/core/device.h"
#include "gear/core/large_pages.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;

/// The text after "label<blanks>:" on its first line, without leading blanks; "" when absent.
std::string value_after(const fs::path& path, const std::string& label) {
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(label)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

double number_of(const std::string& text) {
  std::istringstream stream(text);
  double value = 0.0;
  stream >> value;
  return stream ? value : 0.0;
}

int64_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return std::max(1U, std::thread::hardware_concurrency());
}

/// cgroup v2: "<microseconds> <period>", or "max <period>" without a limit.
double core_quota() {
  std::ifstream stream("/sys/fs/cgroup/cpu.max");
  double time = 0.0;
  double period = 0.0;
  return stream >> time >> period && period > 0.0 ? time / period : 0.0;
}

std::string gpu_driver() {
  std::ifstream stream("/proc/driver/nvidia/version");
  std::string line;
  std::getline(stream, line);
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const bool version = std::count(word.begin(), word.end(), '.') >= 1 &&
                         word.find_first_not_of("0123456789.") == std::string::npos;
    if (version) return word;
  }
  return line;
}

/// Seconds of the fastest of several runs of `work`, after one that warms up.
double fastest(const std::function<void()>& work) {
  constexpr double kBudget = 0.4;  // seconds
  work();
  const Stopwatch total;
  double best = std::numeric_limits<double>::infinity();
  do {
    const Stopwatch watch;
    work();
    best = std::min(best, watch.seconds());
  } while (total.seconds() < kBudget);
  return best;
}

double matrix_product_flops(at::ScalarType dtype) {
  constexpr int64_t kSize = 1024;
  const auto a = at::ones({kSize, kSize}, dtype);
  const auto b = at::ones({kSize, kSize}, dtype);
  auto product = at::empty({kSize, kSize}, dtype);
  constexpr double kOperations = 2.0 * kSize * kSize * kSize;
  return kOperations / fastest([&] { at::mm_out(product, a, b); });
}

/// A convolution of the middle of a tokenizer.
double convolution_flops(at::ScalarType dtype) {
  constexpr int64_t kChannels = 128, kSide = 32;
  const auto options = at::TensorOptions(dtype).memory_format(at::MemoryFormat::ChannelsLast);
  const auto x = at::empty({2, kChannels, kSide, kSide}, options).fill_(1);
  const auto weight = at::ones({kChannels, kChannels, 3, 3}, dtype);
  constexpr double kOperations = 2.0 * 9 * kChannels * kChannels * 2 * kSide * kSide;
  return kOperations / fastest([&] { at::conv2d(x, weight, {}, /*stride=*/1, /*padding=*/1); });
}

constexpr int64_t kTrafficBytes = int64_t{128} << 20;  // beyond the caches of most machines

double copy_bytes_per_second() {
  const auto from = at::ones({kTrafficBytes}, at::kByte);
  auto to = at::zeros({kTrafficBytes}, at::kByte);
  return 2.0 * static_cast<double>(kTrafficBytes) / fastest([&] { to.copy_(from); });
}

/// Reads four streams at a time, which memory delivers faster than one.
int64_t sum_of_streams(const int64_t* values, int64_t count) {
  const int64_t part = count / 4;
  int64_t sum = 0;
  for (int64_t i = 0; i < part; ++i) {
    sum += values[i] + values[i + part] + values[i + 2 * part] + values[i + 3 * part];
  }
  return sum;
}

double read_bytes_per_second() {
  constexpr int64_t kBlock = 65536, kBlocks = kTrafficBytes / 8 / kBlock;
  const auto memory = at::empty({kBlocks, kBlock}, at::kLong);
  // On large pages, as the weights are that decoding reads.
  prefer_large_pages(memory.data_ptr(), memory.nbytes());
  memory.fill_(1);
  const auto* values = memory.const_data_ptr<int64_t>();
  std::atomic<int64_t> total = 0;  // so that nothing is left out
  return static_cast<double>(kTrafficBytes) / fastest([&] {
           at::parallel_for(0, kBlocks, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
             for (int64_t i = begin; i < end; ++i) {
               total += sum_of_streams(values + i * kBlock, kBlock);
             }
           });
         });
}

}  // namespace

bool Machine::has(const std::string& feature) const {
  return std::find(features.begin(), features.end(), feature) != features.end();
}

Machine describe_machine() {
  Machine machine;
  const std::string model = value_after("/proc/cpuinfo", "model name");
  if (!model.empty()) machine.cpu = model;
  std::istringstream flags(value_after("/proc/cpuinfo", "flags"));
  for (std::string flag; flags >> flag;) {
    const bool known =
        std::find(kCpuFeatures.begin(), kCpuFeatures.end(), flag) != kCpuFeatures.end();
    if (known) machine.features.push_back(flag);
  }
  machine.cores = usable_cores();
  machine.core_quota = core_quota();
  std::ifstream("/proc/loadavg") >> machine.load;
  machine.memory_total = number_of(value_after("/proc/meminfo", "MemTotal")) * 1024.0;
  machine.memory_available = available_memory(c10::kCPU);
  std::error_code error;
  const auto space = fs::space(fs::current_path(error), error);
  if (!error) machine.disk_free = static_cast<double>(space.available);
  machine.gpu_driver = gpu_driver();
  return machine;
}

MachineSpeed measure_machine() {
  const at::NoGradGuard no_grad;
  return {.fp32_flops = matrix_product_flops(at::kFloat),
          .bf16_flops = matrix_product_flops(at::kBFloat16),
          .fp32_convolution_flops = convolution_flops(at::kFloat),
          .bf16_convolution_flops = convolution_flops(at::kBFloat16),
          .bytes_per_second = std::max(copy_bytes_per_second(), read_bytes_per_second())};
}

}  // namespace gear::cli
