#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "cli/fork_server.h"
#include "cli/process_start.h"
#include "io/temporary_folder.h"

/// Runs the commands of `gear` and keeps all they wrote.
namespace gear::cli::testing {

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

/// How a command is started: the program itself, as a user does, or its main() in a fork of this
/// process, which takes a tenth of the time.
enum class Start { kProgram, kFork };

/// A running `gear`. Its output goes to files in `scratch`, which must outlive it.
class GearProcess {
 public:
  GearProcess(const fs::path& scratch, const std::vector<std::string>& arguments,
              const Limits& limits = {}, Start start = Start::kProgram)
      : launch_{.arguments = arguments,
                .out = scratch / ".stdout",
                .err = scratch / ".stderr",
                .limits = limits} {
    child_ = start == Start::kFork ? fork_server().start(launch_) : start_program();
  }
  ~GearProcess() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  GearProcess(const GearProcess&) = delete;
  GearProcess& operator=(const GearProcess&) = delete;

  pid_t id() const { return child_; }
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
            .out = io::read_bytes(launch_.out),
            .err = io::read_bytes(launch_.err)};
  }

 private:
  pid_t start_program() const {
    // Two folders up from the test program, at the top of the build folder.
    const fs::path test_folder = fs::read_symlink("/proc/self/exe").parent_path();
    const std::string program = (test_folder.parent_path() / "gear").string();
    auto argv = argv_of(program, launch_);
    const pid_t child = fork();
    if (child != 0) return child;
    apply(launch_);
    execv(program.c_str(), argv.data());
    _exit(127);
  }

  Launch launch_;
  pid_t child_ = -1;
};

inline Outcome run_gear(const fs::path& scratch, const std::vector<std::string>& arguments,
                        const Limits& limits = {}) {
  // What starts the ranks of a machine starts the program again, by its path.
  const bool starts_ranks = std::any_of(
      arguments.begin(), arguments.end(),
      [](const std::string& argument) { return argument.starts_with("--nproc-per-node"); });
  const Start start = starts_ranks ? Start::kProgram : Start::kFork;
  return GearProcess(scratch, arguments, limits, start).wait();
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
