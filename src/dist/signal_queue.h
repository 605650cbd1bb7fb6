#pragma once

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <optional>

namespace gear::dist {

/// SIGCHLD and the signals that are passed on, read from a descriptor instead of interrupting.
class SignalQueue {
 public:
  SignalQueue() {
    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGCHLD, SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, number);
    ::sigprocmask(SIG_BLOCK, &signals, &mask_before_);
    descriptor_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~SignalQueue() {
    ::close(descriptor_);
    ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
  }
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  int descriptor() const { return descriptor_; }
  const sigset_t& mask_before() const { return mask_before_; }
  std::optional<signalfd_siginfo> next() {
    signalfd_siginfo info{};
    if (::read(descriptor_, &info, sizeof info) != sizeof info) return std::nullopt;
    return info;
  }

 private:
  sigset_t mask_before_{};
  int descriptor_ = -1;
};

}  // namespace gear::dist
