#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gear::cli::testing {

namespace fs = std::filesystem;

/// What the system grants the program; nothing: what it grants the tests.
struct Limits {
  std::optional<rlim_t> file_bytes{};    ///< no file may grow beyond
  std::optional<rlim_t> memory_bytes{};  ///< address space
};

/// How the program is started.
struct Launch {
  std::vector<std::string> arguments;  ///< without the name of the program
  fs::path out, err;                   ///< files for what it writes
  Limits limits{};
};

/// Files and limits of the calling process as `launch` says; it ends where that cannot be.
inline void apply(const Launch& launch) {
  const auto redirect = [](const fs::path& file, int descriptor) {
    const int opened = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (opened < 0 || dup2(opened, descriptor) < 0) _exit(127);
  };
  const auto set_limit = [](auto resource, const std::optional<rlim_t>& bytes) {
    if (!bytes) return;
    const rlimit limit{*bytes, *bytes};
    if (setrlimit(resource, &limit) != 0) _exit(127);
  };
  redirect(launch.out, STDOUT_FILENO);
  redirect(launch.err, STDERR_FILENO);
  set_limit(RLIMIT_FSIZE, launch.limits.file_bytes);
  set_limit(RLIMIT_AS, launch.limits.memory_bytes);
}

/// `program` and the arguments as main() gets them, valid while both live.
inline std::vector<char*> argv_of(const std::string& program, const Launch& launch) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : launch.arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  return argv;
}

}  // namespace gear::cli::testing
