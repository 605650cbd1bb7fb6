#include "dist/launch_environment.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "gear/core/error.h"

extern char** environ;

namespace gear::dist {
namespace {

constexpr const char* kLauncherVariable = "GEAR_LAUNCHER";  // its process id

using Variables = std::vector<std::pair<std::string, std::string>>;

/// What torchrun sets for that rank.
Variables place_variables(const LaunchOptions& options, int64_t local_rank) {
  return {{"RANK", std::to_string(options.machine * options.processes + local_rank)},
          {"WORLD_SIZE", std::to_string(options.machines * options.processes)},
          {"LOCAL_RANK", std::to_string(local_rank)},
          {"LOCAL_WORLD_SIZE", std::to_string(options.processes)},
          {"MASTER_ADDR", options.master_address},
          {"MASTER_PORT", std::to_string(options.master_port)},
          {"TORCHELASTIC_RUN_ID", options.run_id},
          {"TORCHELASTIC_RESTART_COUNT", ""},
          {"TORCHELASTIC_USE_AGENT_STORE", ""},
          {kLauncherVariable, std::to_string(::getpid())}};
}

/// The environment of this process with those variables in place of its own.
std::vector<std::string> environment_with(const Variables& variables) {
  std::set<std::string> names;
  std::vector<std::string> entries;
  for (const auto& [name, value] : variables) {
    names.insert(name);
    entries.push_back(name + "=" + value);
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!names.contains(text.substr(0, text.find('=')))) entries.push_back(text);
  }
  return entries;
}

}  // namespace

uint16_t free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool found =
      ::bind(descriptor, generic, length) == 0 && ::getsockname(descriptor, generic, &length) == 0;
  const int error = errno;
  ::close(descriptor);
  if (!found) fail("no free port on this machine: ", std::strerror(error));
  return ntohs(address.sin_port);
}

std::vector<std::string> environment_of_rank(const LaunchOptions& options, int64_t local_rank) {
  return environment_with(place_variables(options, local_rank));
}

bool is_launched(const Lookup& lookup) {
  return lookup(kLauncherVariable) == std::to_string(::getppid());
}

}  // namespace gear::dist
