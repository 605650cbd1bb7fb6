#pragma once

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "cli/tiny_setup.h"

/// `gear train` in several processes.
namespace gear::cli::testing {

/// Variables of the environment, set as long as this lives, for the programs started meanwhile.
class Variables {
 public:
  explicit Variables(const std::map<std::string, std::string>& variables) : variables_(variables) {
    for (const auto& [name, value] : variables_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Variables() {
    for (const auto& [name, value] : variables_) ::unsetenv(name.c_str());
  }
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;

 private:
  std::map<std::string, std::string> variables_;
};

/// The processes that a process has started, in that order.
inline std::vector<pid_t> children_of(pid_t process) {
  const std::string id = std::to_string(process);
  std::ifstream stream("/proc/" + id + "/task/" + id + "/children");
  std::vector<pid_t> children;
  for (pid_t child; stream >> child;) children.push_back(child);
  return children;
}

/// Whether no such process runs; one that its new parent has not reaped yet does not run.
inline bool is_gone(pid_t process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string number, name, state;
  return !(stat >> number >> name >> state) || state == "Z";
}

inline bool comes_true(const std::function<bool()>& condition) {
  for (int tries = 0; tries < 12000; ++tries) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// Whether the run of `process` has come to a line of metrics that the folder did not have.
inline bool makes_progress(const TinySetup& tiny, const GearProcess& process) {
  const auto lines = [&] {
    std::ifstream stream(tiny.run() / "metrics.jsonl");
    return std::count(std::istreambuf_iterator<char>(stream), {}, '\n');
  };
  const auto before = lines();
  return comes_true([&] { return lines() > before || !process.running(); }) && process.running();
}

/// Whether a checkpoint is being written there, or was when its writer died.
inline bool is_saving(const fs::path& run) {
  std::error_code gone;
  for (fs::directory_iterator entry(run / "checkpoints", gone), end; !gone && entry != end;
       entry.increment(gone)) {
    if (entry->path().extension() == ".partial") return true;
  }
  return false;
}

/// Waits for the next save, behind what an earlier one has left.
inline void wait_for_save(const fs::path& run, const GearProcess& process) {
  for (const bool saving : {false, true}) {
    while (is_saving(run) != saving && process.running()) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

}  // namespace gear::cli::testing
