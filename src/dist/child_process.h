#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dist/line_prefixer.h"

namespace gear::dist {

/// What a child process is started with.
struct ChildOptions {
  std::vector<std::string> command;      ///< program (a path) and arguments
  std::vector<std::string> environment;  ///< "NAME=value", all of it
  std::string prefix;                    ///< of each line it writes; empty: it writes by itself
  sigset_t signal_mask;
};

/// A process that does not outlive the one that started it, nor the thread.
class ChildProcess {
 public:
  explicit ChildProcess(const ChildOptions& options);
  ~ChildProcess();  ///< kills it if it still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t id() const { return id_; }
  void signal(int number) const;  ///< nothing happens once it has ended

  /// How it ended, as waitpid tells; nothing while it runs. Never waits.
  std::optional<int> status();

  /// The ends of its outputs to read from, those that are still open.
  std::vector<int> outputs() const;
  /// Passes on a piece of what it has written, behind the prefix. Never waits; false: there is
  /// nothing now.
  bool pass_on_output();
  void finish_output();  ///< all that is there

 private:
  struct Output {
    int descriptor = -1;
    LinePrefixer prefixer;
  };

  pid_t id_ = -1;
  std::optional<int> status_;
  std::vector<Output> outputs_;
};

}  // namespace gear::dist
