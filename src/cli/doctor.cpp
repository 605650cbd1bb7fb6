#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <CLI/App.hpp>
#include <array>
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/machine.h"
#include "cli/print.h"
#include "cli/run_setup.h"
#include "gear/core/cuda_info.h"
#include "gear/core/device.h"
#include "gear/core/text.h"
#include "gear/data/emoji.h"

namespace gear::cli {
namespace {

#ifdef NDEBUG
constexpr bool kDebugBuild = false;
#else
constexpr bool kDebugBuild = true;
#endif

constexpr double kGibibyte = 1024.0 * 1024.0 * 1024.0;

std::string rounded(double value, int digits) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

void print_cuda(const Machine& machine) {
  const auto build = cuda_build();
  if (!build) {
    print_line("  in this build: no CUDA, so no cuDNN and no NCCL; it computes on the CPU");
    print_line("  on this machine: ", machine.gpu_driver.empty()
                                          ? "no NVIDIA driver"
                                          : "NVIDIA driver " + machine.gpu_driver);
    return;
  }
  print_line("  in this build: CUDA ", build->cuda, ", cuDNN ", build->cudnn, ", NCCL ",
             build->nccl);
  const auto gpus = cuda_devices();
  for (size_t i = 0; i < gpus.size(); ++i) {
    print_line("  GPU ", i, ": ", gpus[i].name, ", ", format_bytes(gpus[i].memory),
               ", compute capability ", gpus[i].compute_capability, ", driver ",
               machine.gpu_driver);
  }
  if (gpus.empty()) print_line("  on this machine: no GPU that CUDA can use");
}

void print_build() {
  print_line("gear ", GEAR_VERSION, ", ", kDebugBuild ? "debug" : "optimised", " build, LibTorch ",
             TORCH_VERSION);
  print_line("  oneDNN: ", at::hasMKLDNN() ? "yes" : "no", ", MKL: ", at::hasMKL() ? "yes" : "no",
             ", CPU kernels of LibTorch for ", at::get_cpu_capability());
}

void print_machine(const Machine& machine) {
  print_line("CPU: ", machine.cpu);
  std::vector<std::string> features;
  for (const std::string& name : kCpuFeatures) {
    features.push_back(name + (machine.has(name) ? " yes" : " no"));
  }
  print_line("  ", join(features));
  print_line("  ", machine.cores, " cores for this process",
             machine.core_quota > 0.0
                 ? ", of which the container grants " + rounded(machine.core_quota, 1)
                 : "",
             "; gear uses ", at::get_num_threads(), " threads; load ", rounded(machine.load, 1));
  print_line("Memory: ", format_bytes(machine.memory_total), ", ",
             format_bytes(machine.memory_available), " available");
  print_line("Disk: ", format_bytes(machine.disk_free), " free in ",
             std::filesystem::current_path().string());
}

/// Whether the files that `gear data emoji` draws from are there.
bool print_fonts() {
  const data::EmojiOptions defaults;
  const bool font = std::filesystem::exists(defaults.font);
  const bool list = std::filesystem::exists(defaults.list);
  print_line("Fonts for gear data emoji: ", font ? "font there" : "font missing", ", ",
             list ? "list there" : "list missing");
  return font && list;
}

void print_speed(const MachineSpeed& speed) {
  print_line("Measured now, with ", at::get_num_threads(), " threads");
  print_line("  matrix product fp32   ", rounded(speed.fp32_flops * 1e-9, 0), " GFLOP/s");
  print_line("  matrix product bf16   ", rounded(speed.bf16_flops * 1e-9, 0), " GFLOP/s");
  print_line("  convolution fp32      ", rounded(speed.fp32_convolution_flops * 1e-9, 0),
             " GFLOP/s");
  print_line("  convolution bf16      ", rounded(speed.bf16_convolution_flops * 1e-9, 0),
             " GFLOP/s");
  print_line("  memory traffic        ", rounded(speed.bytes_per_second * 1e-9, 1), " GB/s");
}

/// Sentences about the program and the machine, whatever was measured.
std::vector<std::string> advice_on_machine(const Machine& machine, bool fonts) {
  std::vector<std::string> advice;
  if (kDebugBuild) {
    advice.emplace_back(
        "This is a debug build: everything but the matrix products is many times "
        "slower. Configure with --preset release.");
  }
  if (!machine.gpu_driver.empty() && !cuda_build()) {
    advice.emplace_back(
        "There is an NVIDIA driver, but this build cannot use it. Configure with "
        "--preset cuda.");
  }
  const double cores = static_cast<double>(machine.cores);
  if (machine.core_quota > 0.0 && machine.core_quota < cores) {
    advice.push_back(
        "The container grants only " + rounded(machine.core_quota, 1) + " of " +
        std::to_string(machine.cores) +
        " cores: more threads than that wait for each other. Set threads: " +
        std::to_string(std::max<int64_t>(1, static_cast<int64_t>(machine.core_quota))) + ".");
  }
  if (machine.load > 0.5 * cores) {
    advice.push_back("The machine is busy (load " + rounded(machine.load, 1) + " on " +
                     std::to_string(machine.cores) +
                     " cores): steps take longer, and what is measured above is too low.");
  }
  if (machine.memory_available < 8.0 * kGibibyte) {
    advice.push_back("Only " + format_bytes(machine.memory_available) +
                     " of memory are available: large configurations are refused at their start. "
                     "Raise optimizer.accumulation or lower data.batch_size.");
  }
  if (machine.disk_free < 10.0 * kGibibyte) {
    advice.push_back(
        "Only " + format_bytes(machine.disk_free) +
        " are free here, and checkpoints of the published sizes take several GiB each. "
        "Choose a run_dir elsewhere, or lower output.keep_checkpoints.");
  }
  if (!fonts) {
    advice.emplace_back(
        "gear data emoji needs the Debian packages fonts-noto-color-emoji and "
        "unicode-data.");
  }
  return advice;
}

/// Sentences about the speed of training here.
std::vector<std::string> advice_on_speed(const Machine& machine, const MachineSpeed& speed) {
  constexpr double kWorthwhile = 1.2;
  constexpr double kWorkPerImage =
      1.6e12;  // operations of a joint step, VQ-16 and GEAR-B at 256 px
  std::vector<std::string> advice;
  const double gain = speed.bf16_flops / speed.fp32_flops;
  const std::string units = has_bf16_units(c10::kCPU)
                                ? "Though the CPU has bfloat16 instructions, "
                                : "The CPU has no bfloat16 instructions (AMX, AVX512_BF16): ";
  if (gain >= kWorthwhile) {
    advice.push_back("bf16 matrix products are " + rounded(gain, 1) +
                     " times as fast as fp32: set precision: bf16.");
  } else {
    advice.push_back(units + "bf16 products run at " + rounded(gain, 2) +
                     " times the speed of fp32. Set precision: fp32.");
  }
  if (!machine.has("avx2")) {
    advice.emplace_back("The CPU has no AVX2: convolutions and everything elementwise are slow.");
  }
  if (at::globalContext().hasCUDA()) return advice;
  const double best = std::max(speed.fp32_flops, speed.bf16_flops);
  advice.push_back(
      "Without a GPU, a joint step of the published size (256 px, VQ-16, GEAR-B) needs "
      "at least " +
      rounded(kWorkPerImage / best, 1) +
      " s an image at the measured rate. configs/quickstart.yaml is made for such a "
      "machine.");
  return advice;
}

void examine(int64_t threads) {
  use_threads(threads);
  const Machine machine = describe_machine();
  print_build();
  print_cuda(machine);
  print_machine(machine);
  const bool fonts = print_fonts();
  const MachineSpeed speed = measure_machine();
  print_speed(speed);
  print_line("What this means");
  for (const std::string& line : advice_on_speed(machine, speed)) print_line("  - ", line);
  for (const std::string& line : advice_on_machine(machine, fonts)) print_line("  - ", line);
}

}  // namespace

void add_doctor_command(CLI::App& app) {
  auto threads = std::make_shared<int64_t>(0);
  CLI::App* command = app.add_subcommand(
      "doctor", "Tell what this build and this machine can do, and what will be slow.");
  command->add_option("--threads", *threads, "Threads to measure with; 0: one per core")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->footer("Example: gear doctor");
  command->callback([threads] { examine(*threads); });
}

}  // namespace gear::cli
