#include "train/run_log.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "gear/core/text.h"
#include "gear/io/image.h"
#include "gear/io/mapped_file.h"

namespace gear::train {
namespace {

constexpr const char* kStepSeconds = "time/step_seconds";

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

/// The sums that are minimised ("vq_total 1.203, ar_total 9.71"); the first metric if there is
/// none.
std::string summary_of(const MetricsLog::Values& values) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : values) {
    if (name.ends_with("_total")) parts.push_back(name + " " + short_number(value));
  }
  if (parts.empty() && !values.empty()) {
    parts.push_back(values.front().first + " " + short_number(values.front().second));
  }
  return join(parts);
}

}  // namespace

RunLog::RunLog(const RunConfig& config, const RunFolder& folder, int64_t start_step)
    : config_(config), start_step_(start_step), last_logged_step_(start_step) {
  if (!folder.world().is_first()) return;
  metrics_.emplace(folder.metrics_path(), start_step);
  if (config.output.tensorboard) events_.emplace(folder.events(), start_step);
}

void RunLog::step(int64_t step, MetricsLog::Values values) {
  const auto steps = static_cast<double>(step - last_logged_step_);
  const double seconds = since_last_log_.seconds() / steps;
  const double images_per_second = static_cast<double>(config_.data.batch_size) / seconds;
  last_logged_step_ = step;
  since_last_log_.restart();

  losses_text_ = summary_of(values) + ", " + short_number(images_per_second) + " images/s";
  values.emplace_back(kStepSeconds, seconds);
  values.emplace_back("time/data_seconds", std::exchange(data_seconds_, 0.0) / steps);
  values.emplace_back("time/save_seconds", std::exchange(save_seconds_, 0.0) / steps);
  values.emplace_back("time/images_per_second", images_per_second);
  write(step, values);
}

void RunLog::evaluation(int64_t step, const MetricsLog::Values& values) { write(step, values); }

void RunLog::write(int64_t step, const MetricsLog::Values& values) {
  if (metrics_) metrics_->write(step, values);
  if (!events_) return;
  for (const auto& [name, value] : values) events_->scalar(name, step, value);
}

void RunLog::preview(int64_t step, const std::filesystem::path& png) {
  if (!events_) return;
  const auto file = io::MappedFile::open(png);
  const io::Image image = io::decode_image(file->bytes(), png.string());
  events_->image("preview", step, file->bytes(), image.height, image.width);
}

void RunLog::sync() {
  if (metrics_) metrics_->sync();
  if (events_) events_->sync();
}

void RunLog::progress(int64_t step) {
  if (!metrics_ || step == start_step_) return;  // a run that has gone back has no speed yet
  std::string text = "step " + format_count(step) + " of " + format_count(config_.steps);
  if (!losses_text_.empty()) text += ", " + losses_text_;
  progress_.show(text + ", " + format_duration(seconds_left(step)) + " left");
}

void RunLog::finish(const std::string& text) {
  if (metrics_) progress_.finish(text);
}

double RunLog::seconds_left(int64_t step) const {
  const double per_step = since_start_.seconds() / static_cast<double>(step - start_step_);
  return per_step * static_cast<double>(config_.steps - step);
}

bool has_evaluation(const std::filesystem::path& metrics, int64_t step) {
  std::ifstream stream(metrics);
  for (std::string line; std::getline(stream, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    // Only the line of a logging step tells how long it took.
    const bool of_step = json.is_object() && json.value("step", int64_t{-1}) == step;
    if (of_step && !json.contains(kStepSeconds)) return true;
  }
  return false;
}

}  // namespace gear::train
