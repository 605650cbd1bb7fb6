#include "gear/train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "gear/core/error.h"

namespace gear::train {
namespace {

/// Length of the leading lines that are whole and of no later step than `step`.
uintmax_t bytes_up_to_step(const std::filesystem::path& path, int64_t step) {
  std::ifstream stream(path, std::ios::binary);
  uintmax_t bytes = 0;
  std::string line;
  while (std::getline(stream, line) && !stream.eof()) {  // eof: the last line has no end
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) break;
    if (json["step"].get<int64_t>() > step) break;
    bytes += line.size() + 1;
  }
  return bytes;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& path, int64_t step) : path_(path.string()) {
  std::error_code error;
  if (std::filesystem::exists(path)) {
    std::filesystem::resize_file(path, bytes_up_to_step(path, step), error);
  }
  if (!error) {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  }
  if (descriptor_ < 0) {
    fail(path_, ": cannot write metrics there: ", error ? error.message() : std::strerror(errno),
         "; choose a run_dir that you may write to");
  }
}

MetricsLog::~MetricsLog() { ::close(descriptor_); }

void MetricsLog::write(int64_t step, const Values& values) {
  nlohmann::ordered_json json = {{"step", step}};
  for (const auto& [name, value] : values) {
    if (std::isfinite(value)) {
      json[name] = value;
    } else {
      json[name] = nullptr;
    }
  }
  const std::string line = json.dump() + "\n";
  // One write of a whole line: a killed process leaves at most its last line unfinished.
  const ssize_t written = ::write(descriptor_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    fail(path_, ": cannot write: ", written < 0 ? std::strerror(errno) : "the disk is full",
         "; free space there and run again to resume");
  }
}

void MetricsLog::sync() {
  // Some special files and network file systems know no fsync and say so with EINVAL.
  if (::fsync(descriptor_) == 0 || errno == EINVAL) return;
  fail(path_, ": cannot sync: ", std::strerror(errno), "; check the disk and run again to resume");
}

std::map<std::string, MetricSeries> read_metrics(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    fail(path.string(), ": cannot read metrics there; expected the metrics.jsonl of a run");
  }
  std::map<std::string, MetricSeries> series;
  for (std::string line; std::getline(stream, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    const auto step = json["step"].get<int64_t>();
    for (const auto& [name, value] : json.items()) {
      if (name != "step" && value.is_number()) series[name].emplace_back(step, value.get<double>());
    }
  }
  return series;
}

}  // namespace gear::train
