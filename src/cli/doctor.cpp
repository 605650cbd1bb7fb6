#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include <CLI/App.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/machine.h"
#include "cli/run_setup.h"
#include "gear/core/text.h"
#include "gear/data/emoji.h"

namespace gear::cli {
namespace {

constexpr double kGiga = 1e9;

void print_row(const char* what, const std::string& value) {
  std::printf("  %-14s %s\n", what, value.c_str());
}

std::string cpu_features(const Machine& machine) {
  std::vector<std::string> features;
  if (machine.avx2) features.emplace_back("AVX2");
  if (machine.avx512) features.emplace_back("AVX-512");
  if (machine.avx512_bf16) features.emplace_back("AVX-512 BF16");
  if (machine.amx_bf16) features.emplace_back("AMX BF16");
  return features.empty() ? "none that matter here" : join(features);
}

std::string build_kind() {
#ifdef NDEBUG
  return "release";
#else
  return "debug";
#endif
}

std::string cuda_state() {
#ifdef GEAR_WITH_CUDA
  return at::hasCUDA() ? "built in, " + std::to_string(at::globalContext().getNumGPUs()) + " device(s)"
                       : "built in, but no driver or device is here: everything runs on the CPU";
#else
  return "not in this build (configure with GEAR_CUDA=ON)";
#endif
}

std::string giga(double value, const char* unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.0f G%s", value / kGiga, unit);
  return text;
}

/// What will be slow or fail here, in plain words.
std::vector<std::string> advice(const Machine& machine, double fp32, double bf16) {
  std::vector<std::string> notes;
  if (build_kind() == "debug") notes.emplace_back("this is a debug build: use the release preset to train.");
  if (bf16 < 1.2 * fp32) {
    notes.emplace_back("bfloat16 matrix products are no faster than float32 on this CPU: set precision: fp32.");
  }
  if (machine.cores < 8) {
    notes.push_back("with " + std::to_string(machine.cores) +
                    " cores the quickstart is fine, but a 256 px run takes seconds an image: use a GPU.");
  }
  if (machine.load > 0.5 * static_cast<double>(machine.cores)) {
    notes.emplace_back("the machine is busy: training slows down and measurements mean little.");
  }
  if (machine.memory_available < 4.0 * 1024 * 1024 * 1024) {
    notes.push_back("only " + format_bytes(machine.memory_available) +
                    " of memory are free: keep data.batch_size small or raise optimizer.accumulation.");
  }
  if (machine.disk_free < 2.0 * 1024 * 1024 * 1024) {
    notes.push_back("only " + format_bytes(machine.disk_free) +
                    " of disk are free here: checkpoints may not fit.");
  }
  const data::EmojiOptions emoji;
  if (!std::filesystem::exists(emoji.font) || !std::filesystem::exists(emoji.list)) {
    notes.emplace_back("`gear data emoji` needs the Debian packages fonts-noto-color-emoji and unicode-data.");
  }
  return notes;
}

void examine() {
  use_threads(0);
  const Machine machine = read_machine();
  std::printf("gear %s, %s build\n", GEAR_VERSION, build_kind().c_str());
  print_row("LibTorch", TORCH_VERSION);
  print_row("CUDA", cuda_state());
#ifdef USE_C10D_NCCL
  print_row("NCCL", "built in");
#else
  print_row("NCCL", "not in this build");
#endif
  print_row("CPU", machine.cpu_model);
  print_row("features", cpu_features(machine));
  print_row("cores", std::to_string(machine.cores) + ", threads used " +
                         std::to_string(at::get_num_threads()) + ", load " +
                         config::detail::format(machine.load));
  print_row("memory", format_bytes(machine.memory_available) + " free of " +
                          format_bytes(machine.memory_total));
  print_row("disk", format_bytes(machine.disk_free) + " free in the current folder");
  const double fp32 = gemm_flops(/*bf16=*/false);
  const double bf16 = gemm_flops(/*bf16=*/true);
  print_row("measured", "matrix product " + giga(fp32, "FLOP/s") + " fp32, " + giga(bf16, "FLOP/s") +
                            " bf16; memory " + giga(memory_bytes_per_second(), "B/s"));
  const auto notes = advice(machine, fp32, bf16);
  std::printf(notes.empty() ? "Nothing stands in the way.\n" : "What to know:\n");
  for (const std::string& note : notes) std::printf("  - %s\n", note.c_str());
}

}  // namespace

void add_doctor_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("doctor", "Say what this machine and build can do, and what will be slow.");
  command->footer("Example: gear doctor");
  command->callback(examine);
}

}  // namespace gear::cli
