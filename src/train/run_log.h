#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "gear/core/clock.h"
#include "gear/core/progress.h"
#include "gear/io/event_file.h"
#include "gear/train/metrics_log.h"
#include "gear/train/run_config.h"
#include "gear/train/run_folder.h"

namespace gear::train {

/// Everything a run tells while it goes: metrics.jsonl, TensorBoard and the progress line. Only the
/// first rank tells anything.
class RunLog {
 public:
  RunLog(const RunConfig& config, const RunFolder& folder, int64_t start_step);

  /// Time that a step did not have for computing: until its pictures came, or its save let it go
  /// on.
  void waited_for_data(double seconds) { data_seconds_ += seconds; }
  void waited_for_save(double seconds) { save_seconds_ += seconds; }
  /// The metrics of a logging step, with the seconds of a step under `time/`: the mean of those
  /// since the last logging step, and what of it was waiting.
  void step(int64_t step, MetricsLog::Values values);
  void evaluation(int64_t step, const MetricsLog::Values& values);
  /// Shows the picture of a preview in TensorBoard.
  void preview(int64_t step, const std::filesystem::path& png);
  void progress(int64_t step);
  void finish(const std::string& text);
  /// Until the lines are on the disk. Another thread may call it while this one writes more.
  void sync();

 private:
  void write(int64_t step, const MetricsLog::Values& values);
  double seconds_left(int64_t step) const;

  const RunConfig& config_;
  std::optional<MetricsLog> metrics_;  // none on other ranks
  std::optional<io::EventFile> events_;
  ProgressLine progress_;
  int64_t start_step_;
  int64_t last_logged_step_;
  Stopwatch since_start_;
  Stopwatch since_last_log_;
  double data_seconds_ = 0.0, save_seconds_ = 0.0;  // since the last logging step
  std::string losses_text_;  // of the last logging step; reading the device every step would wait
};

/// Whether a metrics.jsonl has the line of an evaluation after `step` updates.
bool has_evaluation(const std::filesystem::path& metrics, int64_t step);

}  // namespace gear::train
