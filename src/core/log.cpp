#include "gear/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>

#include "gear/core/error.h"
#include "gear/core/printable.h"
#include "gear/core/progress.h"

namespace gear::log {
namespace {

struct Sinks {
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> terminal =
      std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  spdlog::logger logger{"gear", terminal};

  Sinks() {
    terminal->set_pattern("%^%v%$");
    // When log.txt cannot be written, neither can what the run writes next, and that says why in
    // one sentence; spdlog's own lines about it would only stand beside it.
    logger.set_error_handler([](const std::string&) {});
    logger.set_level(spdlog::level::info);
  }
};

Sinks& sinks() {
  static Sinks instance;
  return instance;
}

void write(spdlog::level::level_enum level, const std::string& message) {
  clear_progress_line();  // a log line must not land in the middle of the live line
  sinks().logger.log(level, printable(message));
}

}  // namespace

void info(const std::string& message) { write(spdlog::level::info, message); }
void warn(const std::string& message) { write(spdlog::level::warn, "warning: " + message); }
void error(const std::string& message) { write(spdlog::level::err, "error: " + message); }

void also_to_file(const std::filesystem::path& path) {
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    file->set_pattern("%Y-%m-%d %H:%M:%S %v");
    sinks().logger.sinks().push_back(std::move(file));
    sinks().logger.flush_on(spdlog::level::info);
  } catch (const spdlog::spdlog_ex& cause) {
    fail(path.string(), ": cannot write the log there (", cause.what(), ")");
  }
}

void set_quiet(bool quiet) {
  sinks().terminal->set_level(quiet ? spdlog::level::warn : spdlog::level::info);
}

void flush() { sinks().logger.flush(); }

}  // namespace gear::log
