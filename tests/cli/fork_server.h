#pragma once

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/gear_main.h"
#include "cli/process_start.h"

/// Starts the main() of gear in processes that are forks of this one. Loading LibTorch takes most
/// of the time of a short command, and a fork has it loaded.
namespace gear::cli::testing {

/// A process that was forked before any test ran and does nothing but fork: what it starts is as
/// fresh as a program, without threads or settings of a test. A command that starts the program
/// again by its path needs GearProcess, whose program is gear itself.
class ForkServer : public ::testing::Environment {
 public:
  void SetUp() override {
    int ends[2];
    prctl(PR_SET_CHILD_SUBREAPER, 1);  // what the server starts becomes a child of this process
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    std::fflush(nullptr);  // or each child would write it again
    server_ = fork();
    if (server_ == 0) {
      close(ends[0]);
      serve(ends[1]);
      _exit(0);
    }
    close(ends[1]);
    socket_ = ends[0];
  }
  void TearDown() override {
    close(socket_);
    waitpid(server_, nullptr, 0);
  }

  /// The process, a child of this one; -1 when there is none.
  pid_t start(const Launch& launch) const {
    const auto& limits = launch.limits;
    std::string request;
    for (const std::string& text : {launch.out.string(), launch.err.string(),
                                    text_of(limits.file_bytes), text_of(limits.memory_bytes)}) {
      request += text + '\0';
    }
    for (const std::string& argument : launch.arguments) request += argument + '\0';
    const size_t size = request.size();
    pid_t child = -1;
    const bool asked = put(socket_, &size, sizeof size) && put(socket_, request.data(), size);
    return asked && get(socket_, &child, sizeof child) ? child : -1;
  }

 private:
  static std::string text_of(const std::optional<rlim_t>& limit) {
    return limit ? std::to_string(*limit) : "";
  }
  static std::optional<rlim_t> limit_of(const std::string& text) {
    return text.empty() ? std::nullopt : std::optional<rlim_t>(std::stoull(text));
  }
  static bool put(int descriptor, const void* bytes, size_t size) {
    const ssize_t written = write(descriptor, bytes, size);
    return written == static_cast<ssize_t>(size);
  }
  static bool get(int descriptor, void* bytes, size_t size) {
    return recv(descriptor, bytes, size, MSG_WAITALL) == static_cast<ssize_t>(size);
  }

  static void serve(int socket) {
    for (size_t size = 0; get(socket, &size, sizeof size);) {
      std::string request(size, '\0');
      if (!get(socket, request.data(), size)) return;
      const pid_t child = start_orphan(request);
      if (!put(socket, &child, sizeof child)) return;
    }
  }

  /// A grandchild whose parent has ended.
  static pid_t start_orphan(const std::string& request) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    const pid_t parent = fork();
    if (parent == 0) {
      const pid_t child = fork();
      if (child == 0) run(request);
      _exit(put(ends[1], &child, sizeof child) ? 0 : 1);
    }
    close(ends[1]);
    pid_t child = -1;
    if (read(ends[0], &child, sizeof child) != sizeof child) child = -1;
    close(ends[0]);
    waitpid(parent, nullptr, 0);
    return child;
  }

  [[noreturn]] static void run(const std::string& request) {
    std::vector<std::string> texts;
    for (size_t at = 0; at < request.size(); at += texts.back().size() + 1) {
      texts.emplace_back(request.c_str() + at);
    }
    const Launch launch{
        .arguments = {texts.begin() + 4, texts.end()},
        .out = texts[0],
        .err = texts[1],
        .limits = {.file_bytes = limit_of(texts[2]), .memory_bytes = limit_of(texts[3])}};
    apply(launch);
    const std::string program = "gear";
    auto argv = argv_of(program, launch);
    std::exit(gear_main(static_cast<int>(argv.size()) - 1, argv.data()));
  }

  int socket_ = -1;
  pid_t server_ = -1;
};

/// The one of this test program.
inline ForkServer& fork_server() {
  static auto* const server = new ForkServer;  // owned by the test program
  return *server;
}
inline ::testing::Environment* const kForkServer =
    ::testing::AddGlobalTestEnvironment(&fork_server());

}  // namespace gear::cli::testing
