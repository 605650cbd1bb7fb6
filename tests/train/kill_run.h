#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <thread>

#include "gear/core/clock.h"
#include "gear/core/log.h"
#include "tiny_run.h"

/// Training processes that are killed. The test program is its own child: `PROGRAM train-child
/// FOLDER STEPS [MOMENT]` trains there, so its main() must begin with is_child(). What a MOMENT is,
/// that main() knows.
namespace gear::train::testing {

constexpr const char* kChildArgument = "train-child";

inline RunConfig child_config(int64_t steps) {
  RunConfig config = tiny_config(steps);
  config.output.log_every = 5;
  config.output.checkpoint_every = 2;  // often: many kills then fall into a write
  config.output.eval_every = 10;
  config.output.preview_every = 15;
  return config;
}

inline bool is_child(int argc, char** argv) {
  return argc == 5 && std::strcmp(argv[1], kChildArgument) == 0;
}

/// What a child does; returns its exit status. `between_steps` is called there.
inline int train_as_child(
    char** argv, const std::function<void()>& between_steps = [] {}) {
  log::set_quiet(true);
  TinyRun run(child_config(std::stoll(argv[3])), argv[2]);
  const auto stop = [&] {
    between_steps();
    return 0;
  };
  return run.train(stop) == TrainOutcome::kFinished ? 0 : 1;
}

inline pid_t start_child(const std::filesystem::path& folder, int64_t steps,
                         const std::string& moment = "") {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string count = std::to_string(steps);
  const pid_t child = fork();
  if (child == 0) {
    execl(program.c_str(), program.c_str(), kChildArgument, folder.c_str(), count.c_str(),
          moment.c_str(), nullptr);
    _exit(127);
  }
  return child;
}

/// The exit status of a child that ended by itself, or -1.
inline int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

/// The exit status of a child that runs to its end, or to the moment at which it kills itself: -1.
inline int train_child(const std::filesystem::path& folder, int64_t steps,
                       const std::string& moment = "") {
  int status = 0;
  waitpid(start_child(folder, steps, moment), &status, 0);
  return exit_status(status);
}

/// Starts a child and kills it as soon as `moment` is true. Returns -1, or the exit status of a
/// child that was faster.
inline int train_and_kill(const std::filesystem::path& folder, int64_t steps,
                          const std::function<bool()>& moment) {
  const pid_t child = start_child(folder, steps);
  int status = 0;
  while (!moment()) {
    if (waitpid(child, &status, WNOHANG) != 0) return exit_status(status);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return exit_status(status);
}

/// True `seconds` after the run in `folder` has a checkpoint more than now.
inline std::function<bool()> after_progress(const std::filesystem::path& folder, double seconds) {
  const CheckpointStore store(folder / "checkpoints", /*keep=*/1);
  return [store, before = store.list(), seconds, progress = -1.0]() mutable {
    if (progress < 0.0 && store.list() != before) progress = seconds_now();
    return progress >= 0.0 && seconds_now() - progress >= seconds;
  };
}

/// True `seconds` after now, mostly while the child loads.
inline std::function<bool()> after_start(double seconds) {
  return [watch = Stopwatch(), seconds] { return watch.seconds() >= seconds; };
}

/// Whether a checkpoint is half written.
inline bool is_saving(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "checkpoints", ignored)) {
    if (entry.path().extension() == ".partial") return true;
  }
  return false;
}

}  // namespace gear::train::testing
