#include "gear/core/signals.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace gear {
namespace {

TEST(StopSignals, TheFirstOneIsKept) {
  EXPECT_EXIT(
      {
        install_stop_signals();
        std::raise(SIGTERM);
        std::raise(SIGINT);
        std::raise(SIGUSR1);
        std::exit(stop_signal());
      },
      ::testing::ExitedWithCode(SIGTERM), "this step is finished and saved first");
}

TEST(StopSignals, ASecondCtrlCEndsAtOnce) {
  EXPECT_EXIT(
      {
        install_stop_signals();
        std::raise(SIGINT);
        std::this_thread::sleep_for(std::chrono::milliseconds(300));  // as a person presses it
        std::raise(SIGINT);
        std::exit(0);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignals, ACtrlCThatALauncherPassesOnTooIsNoSecondOne) {
  EXPECT_EXIT(
      {
        install_stop_signals();
        std::raise(SIGINT);
        std::raise(SIGINT);
        std::exit(stop_signal());
      },
      ::testing::ExitedWithCode(SIGINT), "");
}

}  // namespace
}  // namespace gear
