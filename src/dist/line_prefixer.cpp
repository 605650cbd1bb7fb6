#include "dist/line_prefixer.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace gear::dist {
namespace {

/// A program that never ends its line must not take all memory.
constexpr size_t kLongestLine = 1 << 16;

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno != EINTR && errno != EAGAIN) return;  // nobody reads it any more
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

LinePrefixer::LinePrefixer(int descriptor, std::string prefix)
    : descriptor_(descriptor), prefix_(std::move(prefix)) {
  if (::isatty(descriptor) == 1) prefix_ = "\r\033[2K" + prefix_;
}

void LinePrefixer::add(std::string_view text) {
  started_ += text;
  size_t begin = 0;
  for (size_t end; (end = started_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    pass_on(std::string_view(started_).substr(begin, end - begin));
  }
  started_.erase(0, begin);
  if (started_.size() > kLongestLine) finish();
}

void LinePrefixer::finish() {
  if (!started_.empty()) pass_on(std::exchange(started_, ""));
}

void LinePrefixer::pass_on(std::string_view line) {
  write_all(descriptor_, prefix_ + std::string(line) + "\n");  // at once, so that lines stay whole
}

}  // namespace gear::dist
