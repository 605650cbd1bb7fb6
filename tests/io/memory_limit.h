#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "io/temporary_folder.h"

namespace gear::io {

/// Whether the address space of a process can be limited. Not under AddressSanitizer, which
/// reserves most of it and ends the process where memory runs out.
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kMemoryCanBeLimited = false;
#else
inline constexpr bool kMemoryCanBeLimited = true;
#endif
inline constexpr const char* kMemoryCannotBeLimited =
    "AddressSanitizer does not allow to limit memory";

/// The message of the Error that `action` throws in a process of its own with this limit of
/// setrlimit(2); "" when it throws none, "crashed" when that process does not end by itself.
template <class Action>
std::string error_with_limit(__rlimit_resource resource, rlim_t most, Action&& action) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{most, most};
    if (::setrlimit(resource, &limit) != 0) ::_exit(1);
    const std::string message = error_of(action);
    const bool written =
        ::write(ends[1], message.data(), message.size()) == static_cast<ssize_t>(message.size());
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string message;
  char buffer[512];
  for (ssize_t count; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    message.append(buffer, static_cast<size_t>(count));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? message : "crashed";
}

/// The same in a process that may map `mib` MiB more than this one has now.
template <class Action>
std::string error_with_memory(uint64_t mib, Action&& action) {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t now = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return error_with_limit(RLIMIT_AS, now + (mib << 20), action);
}

}  // namespace gear::io
