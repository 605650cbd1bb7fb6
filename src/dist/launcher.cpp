#include "gear/dist/launcher.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <set>

#include "dist/child_process.h"
#include "dist/launch_environment.h"
#include "dist/signal_queue.h"
#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/text.h"
#include "gear/dist/lost_rank.h"

namespace gear::dist {
namespace {

/// The running ranks of this machine.
class Launch {
 public:
  explicit Launch(const LaunchOptions& options) : options_(options) {
    for (int64_t local = 0; local < options_.processes; ++local) {
      const int64_t rank = options_.machine * options_.processes + local;
      ChildOptions child{.command = options_.command,
                         .environment = environment_of_rank(options_, local),
                         .prefix = rank == 0 ? "" : "[rank " + std::to_string(rank) + "] ",
                         .signal_mask = signals_.mask_before()};
      ranks_.push_back({rank, std::make_unique<ChildProcess>(child)});
    }
  }

  int wait() {
    while (std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.running; })) {
      wait_for_event();
      while (const auto signal = signals_.next()) pass_on(*signal);
      for (Rank& rank : ranks_) rank.process->pass_on_output();
      take_ends();
      if (deadline_ && Clock::now() >= *deadline_) kill_rest();
    }
    for (Rank& rank : ranks_) rank.process->finish_output();
    return exit_code();
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Rank {
    int64_t number;
    std::unique_ptr<ChildProcess> process;
    bool running = true;

    std::string name() const {
      return "rank " + std::to_string(number) + " (process " + std::to_string(process->id()) + ")";
    }
  };

  void wait_for_event() {
    std::vector<pollfd> events = {{signals_.descriptor(), POLLIN, 0}};
    for (const Rank& rank : ranks_) {
      for (const int output : rank.process->outputs()) events.push_back({output, POLLIN, 0});
    }
    // Not for ever: the signal that a rank has ended is lost when the system gives it to another
    // thread of this process, where nothing keeps it back.
    std::chrono::milliseconds limit{200};
    if (deadline_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
      limit = std::clamp(left, std::chrono::milliseconds(0), limit);
    }
    ::poll(events.data(), events.size(), static_cast<int>(limit.count()));
  }

  void pass_on(const signalfd_siginfo& info) {
    const auto number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) return;
    passed_on_.insert(number);
    if (info.ssi_code == SI_KERNEL) return;  // a terminal's Ctrl-C has reached all ranks already
    for (const Rank& rank : ranks_) rank.process->signal(number);
  }

  void take_ends() {
    for (Rank& rank : ranks_) {
      if (!rank.running) continue;
      const auto status = rank.process->status();
      if (!status) continue;
      rank.running = false;
      if (killed_rest_) continue;
      const int code = code_of(*status);
      codes_.push_back(code);
      if (code != exit_code::kSuccess && code != exit_code::kInterrupted)
        take_failure(rank, *status);
    }
  }

  /// What an end means for the run.
  int code_of(int status) const {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    const int number = WTERMSIG(status);
    if (passed_on_.contains(number)) return 128 + number;
    const std::set<int> crashes = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    return crashes.contains(number) ? exit_code::kInternalError : exit_code::kRankLost;
  }

  static std::string describe(int status) {
    if (WIFEXITED(status)) return "ended with exit code " + std::to_string(WEXITSTATUS(status));
    const int number = WTERMSIG(status);
    const char* name = ::sigabbrev_np(number);
    return "was ended by " + (name ? "SIG" + std::string(name) : std::to_string(number)) +
           (number == SIGKILL ? " (perhaps for lack of memory: see dmesg)" : "");
  }

  /// A rank that says it lost another one is not the cause while a cause may still show.
  void take_failure(const Rank& rank, int status) {
    const std::string sentence = rank.name() + " " + describe(status);
    const bool is_cause = !WIFEXITED(status) || WEXITSTATUS(status) != exit_code::kRankLost;
    if (is_cause && !cause_) {
      cause_ = code_of(status);
      log::error(sentence);
    } else if (!is_cause && victim_.empty()) {
      victim_ = sentence;
    }
    if (!deadline_) deadline_ = Clock::now() + options_.grace;
  }

  void kill_rest() {
    for (const Rank& rank : ranks_) {
      if (!rank.running) continue;
      log::error(rank.name() + " did not end within " +
                 format_duration(std::chrono::duration<double>(options_.grace).count()) +
                 " of the failure and was killed");
      rank.process->signal(SIGKILL);
    }
    killed_rest_ = true;
    deadline_.reset();
  }

  int exit_code() const {
    if (cause_) return *cause_;
    if (!victim_.empty()) {
      if (!killed_rest_) log::error(victim_);
      return exit_code::kRankLost;
    }
    const bool interrupted = std::count(codes_.begin(), codes_.end(), exit_code::kInterrupted) > 0;
    return interrupted ? exit_code::kInterrupted : exit_code::kSuccess;
  }

  LaunchOptions options_;
  SignalQueue signals_;
  std::vector<Rank> ranks_;
  std::set<int> passed_on_;
  std::vector<int> codes_;
  std::optional<int> cause_;  // exit code of the first rank that failed by itself
  std::string victim_;        // the first that ended because it lost another rank
  std::optional<Clock::time_point> deadline_;
  bool killed_rest_ = false;
};

}  // namespace

int launch(const LaunchOptions& options) {
  LaunchOptions filled = options;
  if (filled.master_port == 0) filled.master_port = free_port();
  if (filled.run_id.empty()) {
    filled.run_id = "gear-" + std::to_string(::getpid()) + "-" +
                    std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
  }
  return Launch(filled).wait();
}

}  // namespace gear::dist
