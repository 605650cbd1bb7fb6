#include "gear/core/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "gear/core/clock.h"

namespace gear {
namespace {

std::atomic<bool> live_line_shown{false};

/// Characters that fit on one line of the terminal. One is left free: some terminals wrap as soon
/// as the last column is written, and a wrapped line cannot be redrawn in place.
size_t line_width() {
  constexpr size_t kUsualColumns = 80;
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (known ? size.ws_col : kUsualColumns) - 1;
}

}  // namespace

ProgressLine::ProgressLine(double plain_interval_s)
    : terminal_(isatty(STDERR_FILENO) == 1), plain_interval_s_(plain_interval_s) {}

ProgressLine::~ProgressLine() { clear_progress_line(); }

void ProgressLine::show(const std::string& text) {
  if (terminal_) {
    std::fprintf(stderr, "\r\033[2K%s", text.substr(0, line_width()).c_str());
    std::fflush(stderr);
    live_line_shown = true;
    return;
  }
  const double now = seconds_now();
  if (now - last_plain_s_ < plain_interval_s_) return;
  last_plain_s_ = now;
  std::fprintf(stderr, "%s\n", text.c_str());
}

void ProgressLine::finish(const std::string& text) {
  clear_progress_line();
  std::fprintf(stderr, "%s\n", text.c_str());
}

void clear_progress_line() {
  if (live_line_shown.exchange(false)) {
    std::fprintf(stderr, "\r\033[2K");
    std::fflush(stderr);
  }
}

}  // namespace gear
