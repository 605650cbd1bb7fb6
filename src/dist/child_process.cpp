#include "dist/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "gear/core/error.h"

namespace gear::dist {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

/// {read end, write end}, both closed in other children.
std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fail("cannot make a pipe for a rank's output: ", std::strerror(errno));
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return ends;
}

/// What the new process needs; everything that takes memory was prepared before the fork.
struct Start {
  pid_t parent;
  int out, err;  // -1: those of the parent
  const char* program;
  char* const* arguments;
  char* const* environment;
  const sigset_t* signal_mask;
};

/// Becomes the program. Only what is safe between fork and exec.
[[noreturn]] void become(const Start& start) {
  constexpr int kCannotStart = 127;  // as shells say it
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != start.parent) ::_exit(kCannotStart);  // it ended before that call
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::close(nothing);
  if (start.out >= 0) ::dup2(start.out, STDOUT_FILENO);
  if (start.err >= 0) ::dup2(start.err, STDERR_FILENO);
  ::sigprocmask(SIG_SETMASK, start.signal_mask, nullptr);
  ::execve(start.program, start.arguments, start.environment);
  ::_exit(kCannotStart);
}

}  // namespace

ChildProcess::ChildProcess(const ChildOptions& options) {
  const auto arguments = pointers(options.command);
  const auto environment = pointers(options.environment);
  std::array<int, 2> write_ends = {-1, -1};
  if (!options.prefix.empty()) {
    for (size_t stream : {0, 1}) {
      const auto [read_end, write_end] = make_pipe();
      write_ends[stream] = write_end;
      outputs_.push_back(
          {read_end, LinePrefixer(stream == 0 ? STDOUT_FILENO : STDERR_FILENO, options.prefix)});
    }
  }
  const Start start{.parent = ::getpid(),
                    .out = write_ends[0],
                    .err = write_ends[1],
                    .program = options.command.at(0).c_str(),
                    .arguments = arguments.data(),
                    .environment = environment.data(),
                    .signal_mask = &options.signal_mask};
  id_ = ::fork();
  if (id_ == 0) become(start);
  const int error = errno;
  for (const int end : write_ends) {
    if (end >= 0) ::close(end);
  }
  if (id_ < 0) fail("cannot start a process: ", std::strerror(error));
}

ChildProcess::~ChildProcess() {
  if (!status()) {
    signal(SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
  for (const Output& output : outputs_) {
    if (output.descriptor >= 0) ::close(output.descriptor);
  }
}

void ChildProcess::signal(int number) const {
  if (!status_ && id_ > 0) ::kill(id_, number);
}

std::optional<int> ChildProcess::status() {
  int status = 0;
  if (!status_ && id_ > 0 && ::waitpid(id_, &status, WNOHANG) == id_) status_ = status;
  return status_;
}

std::vector<int> ChildProcess::outputs() const {
  std::vector<int> descriptors;
  for (const Output& output : outputs_) {
    if (output.descriptor >= 0) descriptors.push_back(output.descriptor);
  }
  return descriptors;
}

bool ChildProcess::pass_on_output() {
  std::array<char, 1 << 14> buffer;
  bool any = false;
  for (Output& output : outputs_) {
    if (output.descriptor < 0) continue;
    const ssize_t count = ::read(output.descriptor, buffer.data(), buffer.size());
    if (count > 0) {
      output.prefixer.add({buffer.data(), static_cast<size_t>(count)});
      any = true;
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      ::close(output.descriptor);
      output.descriptor = -1;
    }
  }
  return any;
}

void ChildProcess::finish_output() {
  while (pass_on_output()) {
  }
  for (Output& output : outputs_) output.prefixer.finish();
}

}  // namespace gear::dist
