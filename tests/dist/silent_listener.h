#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

namespace gear::dist::testing {

/// A port that nobody else gets. Who calls it is turned away.
class HeldPort {
 public:
  HeldPort() : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t length = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(descriptor_, generic, length), 0);
    EXPECT_EQ(::getsockname(descriptor_, generic, &length), 0);
    port = ntohs(address.sin_port);
  }
  ~HeldPort() { ::close(descriptor_); }
  HeldPort(const HeldPort&) = delete;
  HeldPort& operator=(const HeldPort&) = delete;

  uint16_t port = 0;

 protected:
  int descriptor_;
};

/// A program that listens on a port and never answers.
class SilentListener : public HeldPort {
 public:
  SilentListener() { EXPECT_EQ(::listen(descriptor_, 8), 0); }
};

}  // namespace gear::dist::testing
