#include "cli/bench_report.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/print.h"
#include "gear/core/clock.h"
#include "gear/core/text.h"
#include "gear/io/atomic.h"

namespace gear::cli {
namespace {

// Other programs then take less than a twentieth of the cores.
constexpr double kQuietLoad = 0.05;

// Less than this is lost in what the allocator keeps.
constexpr double kLeastBytes = 1024.0 * 1024.0;

/// Resident memory of this process and its peak since the last reset.
class ResidentMemory {
 public:
  /// Gives freed memory back to the system first, so that its use again counts.
  static void reset_peak() {
    ::malloc_trim(0);
    std::ofstream("/proc/self/clear_refs") << "5";
  }
  static double now() { return field("VmRSS:"); }
  static double peak() { return field("VmHWM:"); }

 private:
  static double field(const std::string& label) {
    std::ifstream stream("/proc/self/status");
    for (std::string word; stream >> word;) {
      double kibibytes = 0.0;
      if (word == label && stream >> kibibytes) return 1024.0 * kibibytes;
    }
    return 0.0;
  }
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Programs that wanted to run before this one began, per core.
double other_load(const Machine& machine) {
  return machine.load / static_cast<double>(machine.cores);
}

nlohmann::ordered_json to_json(const BenchReport& report, const Machine& machine,
                               const MachineSpeed& speed) {
  nlohmann::ordered_json json;
  json["subject"] = report.subject;
  json["items"] = report.items;
  json["machine"] = {{"cpu", machine.cpu},     {"features", machine.features},
                     {"cores", machine.cores}, {"threads", at::get_num_threads()},
                     {"load", machine.load},   {"quiet", other_load(machine) <= kQuietLoad}};
  json["peaks"] = {{"fp32_flops", speed.fp32_flops},
                   {"bf16_flops", speed.bf16_flops},
                   {"fp32_convolution_flops", speed.fp32_convolution_flops},
                   {"bf16_convolution_flops", speed.bf16_convolution_flops},
                   {"bytes_per_second", speed.bytes_per_second}};
  for (const Measurement& measured : report.measurements) {
    json["measurements"].push_back({{"name", measured.name},
                                    {"median_seconds", measured.median_seconds},
                                    {"fastest_seconds", measured.fastest_seconds},
                                    {"peak_bytes", measured.peak_bytes},
                                    {"operations", measured.volume.operations},
                                    {"bytes", measured.volume.bytes},
                                    {"items", measured.volume.items}});
  }
  return json;
}

/// One column of the table; left out where no measurement has a value for it.
struct Column {
  std::string title;
  std::function<std::string(const Measurement&)> cell;
};

std::string with_digits(double value, int digits, const char* suffix = "") {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.*f%s", digits, value, suffix);
  return text.data();
}

std::vector<Column> columns_of(const BenchReport& report, const MachineSpeed& speed) {
  const Measurement& first = report.measurements.front();
  const auto rate = [](double amount, const Measurement& measured) {
    return amount / measured.median_seconds;
  };
  const auto counted = [](double amount, const std::string& text) {
    return amount > 0.0 ? text : std::string();
  };
  std::vector<Column> columns = {
      {"median ms", [](auto& m) { return with_digits(1e3 * m.median_seconds, 1); }},
      {"best ms", [](auto& m) { return with_digits(1e3 * m.fastest_seconds, 1); }},
      {"peak memory", [](auto& m) { return format_bytes(m.peak_bytes); }},
      {report.items + "/s",
       [=](auto& m) { return counted(m.volume.items, with_digits(rate(m.volume.items, m), 2)); }},
      {"GFLOP/s",
       [=](auto& m) {
         return counted(m.volume.operations, with_digits(1e-9 * rate(m.volume.operations, m), 1));
       }},
      {"of fp32",
       [=](auto& m) {
         const double share = 100.0 * rate(m.volume.operations, m) / speed.fp32_flops;
         return counted(m.volume.operations, with_digits(share, 0, "%"));
       }},
      {"GB/s",
       [=](auto& m) {
         return counted(m.volume.bytes, with_digits(1e-9 * rate(m.volume.bytes, m), 1));
       }},
      {"of memory", [=](auto& m) {
         const double share = 100.0 * rate(m.volume.bytes, m) / speed.bytes_per_second;
         return counted(m.volume.bytes, with_digits(share, 0, "%"));
       }}};
  if (report.measurements.size() > 1) {
    columns.push_back({"speed", [=](auto& m) {
                         return with_digits(first.median_seconds / m.median_seconds, 2, "x");
                       }});
    columns.push_back({"memory", [=](auto& m) {
                         if (m.peak_bytes < kLeastBytes) return std::string();
                         return with_digits(first.peak_bytes / m.peak_bytes, 2, "x");
                       }});
  }
  std::erase_if(columns, [&](const Column& column) {
    return std::all_of(report.measurements.begin(), report.measurements.end(),
                       [&](const Measurement& measured) { return column.cell(measured).empty(); });
  });
  return columns;
}

void print_table(const BenchReport& report, const MachineSpeed& speed) {
  const auto columns = columns_of(report, speed);
  std::printf("  %-30s", "");
  for (const Column& column : columns) std::printf(" %11s", column.title.c_str());
  std::printf("\n");
  for (const Measurement& measured : report.measurements) {
    std::printf("  %-30s", measured.name.c_str());
    for (const Column& column : columns) std::printf(" %11s", column.cell(measured).c_str());
    std::printf("\n");
  }
  std::fflush(stdout);
}

void print_report(const BenchReport& report, const Machine& machine, const MachineSpeed& speed) {
  print_line(report.subject);
  print_line("  ", machine.cpu, " (", join(machine.features), "), ", at::get_num_threads(),
             " threads; measured peaks: matrix product fp32 ",
             with_digits(1e-9 * speed.fp32_flops, 0), " GFLOP/s, bf16 ",
             with_digits(1e-9 * speed.bf16_flops, 0), " GFLOP/s; convolution fp32 ",
             with_digits(1e-9 * speed.fp32_convolution_flops, 0), " GFLOP/s, bf16 ",
             with_digits(1e-9 * speed.bf16_convolution_flops, 0), " GFLOP/s; memory ",
             with_digits(1e-9 * speed.bytes_per_second, 1), " GB/s");
  print_table(report, speed);
  if (other_load(machine) <= kQuietLoad) return;
  print_line("  Not to be quoted: the load was ", machine.load,
             " when the measurement began, so other programs had part of the machine; the ratios "
             "are closer to the truth than the times.");
}

}  // namespace

std::vector<Measurement> measure(const std::vector<Contender>& contenders, int64_t rounds) {
  std::vector<Measurement> measurements;
  std::vector<std::vector<double>> seconds(contenders.size());
  for (const Contender& contender : contenders) {
    measurements.push_back({.name = contender.name, .volume = contender.volume});
    contender.work();
  }
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < contenders.size(); ++i) {
      ResidentMemory::reset_peak();
      const double before = ResidentMemory::now();
      const Stopwatch watch;
      contenders[i].work();
      seconds[i].push_back(watch.seconds());
      measurements[i].peak_bytes =
          std::max(measurements[i].peak_bytes, ResidentMemory::peak() - before);
    }
  }
  for (size_t i = 0; i < contenders.size(); ++i) {
    measurements[i].median_seconds = median(seconds[i]);
    measurements[i].fastest_seconds = *std::min_element(seconds[i].begin(), seconds[i].end());
  }
  return measurements;
}

void present(const BenchReport& report, const Machine& machine, const std::filesystem::path& json) {
  const MachineSpeed speed = measure_machine();
  print_report(report, machine, speed);
  if (json.empty()) return;
  io::write_file_atomically(json, to_json(report, machine, speed).dump(1) + "\n");
  print_line("  written to ", json.string());
}

}  // namespace gear::cli
