#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gear::train {

/// metrics.jsonl: one JSON object a line, {"step": 100, "ce_loss": 9.7, ...}, numbers that are not
/// finite as null. `step` counts optimizer updates done.
class MetricsLog {
 public:
  using Values = std::vector<std::pair<std::string, double>>;

  /// Opens the file for appending after dropping the lines of steps beyond `step`, which a resumed
  /// run will write again, and a last line that a killed process left unfinished.
  MetricsLog(const std::filesystem::path& path, int64_t step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void write(int64_t step, const Values& values);
  void sync();  ///< until the lines are on the disk

 private:
  std::string path_;
  int descriptor_ = -1;
};

/// One metric of a run: (step, value) in the order of the steps.
using MetricSeries = std::vector<std::pair<int64_t, double>>;

/// Every metric of a metrics.jsonl by name. Values that were not finite are left out, and so is a
/// last line that a killed process left unfinished. Throws Error where the file cannot be read.
std::map<std::string, MetricSeries> read_metrics(const std::filesystem::path& path);

}  // namespace gear::train
