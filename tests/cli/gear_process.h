#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/temporary_folder.h"

/// Runs the program `gear` as a user does and keeps all it wrote.
namespace gear::cli::testing {

namespace fs = std::filesystem;

struct Outcome {
  int exit_code = -1;  ///< minus the signal that ended it
  std::string out;     ///< standard output
  std::string err;     ///< standard error

  /// The last line of standard error, without its end.
  std::string last_error_line() const {
    const std::string text = err.empty() ? "" : err.substr(0, err.size() - 1);
    const size_t line_end = text.rfind('\n');
    return line_end == std::string::npos ? text : text.substr(line_end + 1);
  }
};

/// What the system grants the program; nothing: what it grants the tests.
struct Limits {
  std::optional<rlim_t> file_bytes{};    ///< no file may grow beyond
  std::optional<rlim_t> memory_bytes{};  ///< address space
};

/// A running `gear`. Its output goes to files in `scratch`, which must outlive it.
class GearProcess {
 public:
  GearProcess(const fs::path& scratch, const std::vector<std::string>& arguments,
              const Limits& limits = {})
      : out_(scratch / ".stdout"), err_(scratch / ".stderr") {
    // Two folders up from the test program, at the top of the build folder.
    const fs::path test_folder = fs::read_symlink("/proc/self/exe").parent_path();
    const std::string program = (test_folder.parent_path() / "gear").string();
    std::vector<char*> argv = {const_cast<char*>(program.c_str())};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    child_ = fork();
    if (child_ != 0) return;
    redirect(out_, STDOUT_FILENO);
    redirect(err_, STDERR_FILENO);
    set_limit(RLIMIT_FSIZE, limits.file_bytes);
    set_limit(RLIMIT_AS, limits.memory_bytes);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  ~GearProcess() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  GearProcess(const GearProcess&) = delete;
  GearProcess& operator=(const GearProcess&) = delete;

  void kill(int signal) const { ::kill(child_, signal); }

  bool running() const {
    siginfo_t info{};  // looks without reaping
    waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid == 0;
  }

  Outcome wait() {
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = -1;
    return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
            .out = io::read_bytes(out_),
            .err = io::read_bytes(err_)};
  }

 private:
  static void redirect(const fs::path& file, int descriptor) {
    const int opened = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (opened < 0 || dup2(opened, descriptor) < 0) _exit(127);
  }
  static void set_limit(auto resource, const std::optional<rlim_t>& bytes) {
    if (!bytes) return;
    const rlimit limit{*bytes, *bytes};
    if (setrlimit(resource, &limit) != 0) _exit(127);
  }

  fs::path out_, err_;
  pid_t child_ = -1;
};

inline Outcome run_gear(const fs::path& scratch, const std::vector<std::string>& arguments,
                        const Limits& limits = {}) {
  return GearProcess(scratch, arguments, limits).wait();
}

/// Exit code 2 and `message` as the last thing said; nothing of it looks like a crash.
inline void expect_user_error(const Outcome& outcome, const std::string& message) {
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError) << outcome.err;
  EXPECT_EQ(outcome.last_error_line(), "error: " + message) << outcome.err;
  EXPECT_EQ(outcome.err.find("Exception raised from"), std::string::npos) << outcome.err;
}

/// What atomic writes that were given up would leave behind, anywhere below `folder`.
inline std::vector<std::string> partial_files(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".partial")) found.push_back(entry.path().string());
  }
  return found;
}

}  // namespace gear::cli::testing
