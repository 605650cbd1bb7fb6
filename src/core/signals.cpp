#include "gear/core/signals.h"

#include <unistd.h>

#include <csignal>
#include <ctime>
#include <initializer_list>
#include <string_view>

namespace gear {
namespace {

volatile std::sig_atomic_t received = 0;
timespec received_at{};

/// Whether the signal is an echo of the one received: launchers and timeout(1) pass on what a
/// terminal or scheduler may have sent to all processes by itself. A person is slower.
bool is_echo() {
  constexpr double kSlowestEcho = 0.2;  // seconds
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec - received_at.tv_sec) +
             1e-9 * static_cast<double>(now.tv_nsec - received_at.tv_nsec) <
         kSlowestEcho;
}

void remember(int signal) {
  if (received == SIGINT && signal == SIGINT && !is_echo()) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
    return;
  }
  if (received != 0) return;
  clock_gettime(CLOCK_MONOTONIC, &received_at);
  received = signal;
  // Nothing but write() is allowed here; the log waits for the end of the step.
  constexpr std::string_view kText =
      "\nstopping: this step is finished and saved first (Ctrl-C once more: at once, unsaved)\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kText.data(), kText.size());
}

}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = remember;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // reads and writes in flight go on
  for (int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
}

int stop_signal() { return received; }

const char* signal_name(int signal) {
  switch (signal) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR1:
      return "SIGUSR1";
    default:
      return "an unknown signal";
  }
}

}  // namespace gear
