#pragma once

#include <filesystem>
#include <string>

/// Log lines for people: to standard error and, once a run folder exists, to its log.txt. The
/// library behind them (spdlog) stays in one source file, away from LibTorch's own fmt headers.
namespace gear::log {

void info(const std::string& message);
void warn(const std::string& message);
void error(const std::string& message);

/// Also appends every later line to `path`. Throws Error when the file cannot be opened.
void also_to_file(const std::filesystem::path& path);

/// Hides info lines on the terminal (warnings and errors stay); the file keeps everything.
void set_quiet(bool quiet);

void flush();

}  // namespace gear::log
