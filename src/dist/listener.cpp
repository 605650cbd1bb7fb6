#include "dist/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

namespace gear::dist {
namespace {

/// Whether a connection leads back to its own socket, as it does when the port of the other end
/// happens to be the one that the system chose for this end.
bool meets_itself(int descriptor) {
  sockaddr_storage own{}, other{};
  socklen_t own_size = sizeof own, other_size = sizeof other;
  return ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&other), &other_size) == 0 &&
         own_size == other_size && std::memcmp(&own, &other, own_size) == 0;
}

bool connects(const addrinfo& address) {
  constexpr int kPatienceMs = 2000;  // a firewall may swallow the packets
  const int descriptor = ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  bool connected = ::connect(descriptor, address.ai_addr, address.ai_addrlen) == 0;
  pollfd event{descriptor, POLLOUT, 0};
  if (!connected && errno == EINPROGRESS && ::poll(&event, 1, kPatienceMs) == 1) {
    int error = -1;
    socklen_t size = sizeof error;
    ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    connected = error == 0;
  }
  connected = connected && !meets_itself(descriptor);
  ::close(descriptor);
  return connected;
}

}  // namespace

Reach reach(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return Reach::kUnknownHost;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    if (connects(*address)) return Reach::kListening;
  }
  return Reach::kSilent;
}

Reach reach_until(const std::string& host, uint16_t port,
                  std::chrono::steady_clock::time_point deadline) {
  constexpr auto kBetweenTries = std::chrono::milliseconds(100);
  while (true) {
    const Reach result = reach(host, port);
    if (result == Reach::kListening || std::chrono::steady_clock::now() >= deadline) return result;
    std::this_thread::sleep_for(kBetweenTries);
  }
}

}  // namespace gear::dist
