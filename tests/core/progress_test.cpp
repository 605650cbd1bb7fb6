#include "gear/core/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace gear {
namespace {

/// Sends standard error elsewhere while the object lives.
class StandardErrorTo {
 public:
  explicit StandardErrorTo(int descriptor) : before_(dup(STDERR_FILENO)) {
    dup2(descriptor, STDERR_FILENO);
  }
  ~StandardErrorTo() {
    dup2(before_, STDERR_FILENO);
    close(before_);
  }
  StandardErrorTo(const StandardErrorTo&) = delete;
  StandardErrorTo& operator=(const StandardErrorTo&) = delete;

 private:
  int before_;
};

/// What has been written so far to the other end of `descriptor`.
std::string read_now(int descriptor) {
  fcntl(descriptor, F_SETFL, O_NONBLOCK);
  std::string text(4096, '\0');
  const ssize_t bytes = read(descriptor, text.data(), text.size());
  text.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
  return text;
}

/// What a terminal of `columns` columns gets from a progress line that shows `text`.
std::string shown_on_terminal(unsigned short columns, const std::string& text) {
  int screen = -1, terminal = -1;
  winsize size{};
  size.ws_col = columns;
  EXPECT_EQ(openpty(&screen, &terminal, nullptr, nullptr, &size), 0);
  std::string shown;
  {
    const StandardErrorTo redirected(terminal);
    ProgressLine line;
    line.show(text);
    shown = read_now(screen);
  }
  close(terminal);
  close(screen);
  return shown;
}

TEST(ProgressLine, IsCutToTheWidthOfTheTerminal) {
  const std::string text(200, 'x');
  EXPECT_EQ(shown_on_terminal(40, text), "\r\033[2K" + text.substr(0, 39));
  EXPECT_EQ(shown_on_terminal(300, text), "\r\033[2K" + text);
}

TEST(ProgressLine, TakesTerminalsOfUnknownWidthFor80Columns) {
  const std::string text(200, 'x');
  EXPECT_EQ(shown_on_terminal(0, text), "\r\033[2K" + text.substr(0, 79));
}

TEST(ProgressLine, PrintsWholePlainLinesWhereThereIsNoTerminal) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const std::string text(200, 'x');
  {
    const StandardErrorTo redirected(ends[1]);
    ProgressLine line(/*plain_interval_s=*/1000.0);
    line.show(text);
    line.show("too soon after the first");
    line.finish("done");
  }
  EXPECT_EQ(read_now(ends[0]), text + "\ndone\n");
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace gear
