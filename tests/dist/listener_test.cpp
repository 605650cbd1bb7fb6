#include "dist/listener.h"

#include <gtest/gtest.h>

#include "dist/launch_environment.h"
#include "dist/silent_listener.h"

namespace gear::dist {
namespace {

TEST(Listener, IsFoundWhereSomebodyListens) {
  const testing::SilentListener listener;
  EXPECT_EQ(reach("127.0.0.1", listener.port), Reach::kListening);
}

TEST(Listener, IsNotFoundWhereNobodyListens) {
  const testing::HeldPort held;
  EXPECT_EQ(reach("127.0.0.1", held.port), Reach::kSilent);
}

// The system chooses the port of this end among those from which free_port() took that of the other
// end. As often as one in some ten thousand times it is the same one, and TCP then connects the
// socket with itself.
TEST(Listener, IsNotFoundInTheCallerItself) {
  constexpr int kTries = 100'000;
  const uint16_t port = free_port();
  int found = 0;
  for (int i = 0; i < kTries && found == 0; ++i) {
    found += reach("127.0.0.1", port) == Reach::kListening ? 1 : 0;
  }
  EXPECT_EQ(found, 0);
}

}  // namespace
}  // namespace gear::dist
