#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/dist/launcher.h"
#include "gear/dist/lost_rank.h"
#include "gear/dist/world.h"

/// Ranks as `gear train --nproc-per-node` has them: started by the launcher, with its exit codes.
namespace gear::dist::testing {

struct Launched {
  int code = -1;
  std::string err;  ///< of the launcher and all ranks
};

namespace detail {

/// What a rank does; ends its process. An error becomes a sentence and an exit code, as in gear.
[[noreturn]] inline void be_rank(std::chrono::milliseconds timeout,
                                 const std::function<void(const World&)>& body) {
  int code = exit_code::kSuccess;
  try {
    body(connect(placement_from_environment(), {.timeout = timeout}));
  } catch (const LostRank& error) {
    log::error(error.what());
    code = exit_code::kRankLost;
  } catch (const Error& error) {
    log::error(error.what());
    code = exit_code::kUserError;
  }
  log::flush();
  ::_exit(code);
}

}  // namespace detail

/// Launches the running test anew in `processes` ranks, each of which runs only the body.
inline Launched launch_ranks(int64_t processes, std::chrono::milliseconds timeout,
                             const std::function<void(const World&)>& body) {
  if (is_launched()) detail::be_rank(timeout, body);
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::string filter =
      "--gtest_filter=" + std::string(test->test_suite_name()) + "." + test->name();
  Launched launched;
  ::testing::internal::CaptureStderr();
  launched.code = launch({.command = {"/proc/self/exe", filter, "--gtest_brief=1"},
                          .processes = processes,
                          .grace = std::chrono::seconds(30)});
  launched.err = ::testing::internal::GetCapturedStderr();
  return launched;
}

}  // namespace gear::dist::testing
