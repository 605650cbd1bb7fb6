#pragma once

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "dist/launch_environment.h"
#include "gear/dist/world.h"

extern char** environ;

namespace gear::dist::testing {

namespace detail {

inline constexpr const char* kRankVariable = "GEAR_TEST_RANK";

inline std::string own_name() {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  return std::string(test->test_suite_name()) + "." + test->name();
}

inline pid_t start_rank(int64_t rank, int64_t size, uint16_t port) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
  variables.push_back(std::string(kRankVariable) + "=" + std::to_string(rank) + "/" +
                      std::to_string(size) + "/" + std::to_string(port));
  variables.emplace_back("OMP_NUM_THREADS=1");
  std::vector<std::string> arguments = {"/proc/self/exe", "--gtest_filter=" + own_name(),
                                        "--gtest_brief=1"};
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (auto& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
  };
  pid_t child = -1;
  const int error = posix_spawn(&child, "/proc/self/exe", nullptr, nullptr,
                                pointers(arguments).data(), pointers(variables).data());
  EXPECT_EQ(error, 0);
  return child;
}

/// What start_rank() told this process.
inline Placement told_placement(const std::string& text) {
  Placement placement;
  int rank = 0, size = 0, port = 0;
  EXPECT_EQ(std::sscanf(text.c_str(), "%d/%d/%d", &rank, &size, &port), 3);
  placement.rank = placement.local_rank = rank;
  placement.world_size = placement.local_world_size = size;
  placement.master_port = static_cast<uint16_t>(port);
  return placement;
}

}  // namespace detail

/// Runs the body once in each of `size` processes that form a world, and fails when it fails in one
/// of them. Each process is this program with the current test alone: a forked one could not use
/// the threads that earlier tests have started.
inline void run_ranks(int64_t size, const std::function<void(const World&)>& body) {
  if (const char* text = std::getenv(detail::kRankVariable)) {
    const Placement placement = detail::told_placement(text);
    if (placement.world_size != size) return;  // a test may ask for several sizes
    body(connect(placement, {.timeout = std::chrono::seconds(60)}));
    return;
  }
  const uint16_t port = free_port();
  std::vector<pid_t> children;
  for (int64_t rank = 0; rank < size; ++rank) {
    children.push_back(detail::start_rank(rank, size, port));
  }
  for (int64_t rank = 0; rank < size; ++rank) {
    int status = -1;
    waitpid(children[static_cast<size_t>(rank)], &status, 0);
    EXPECT_EQ(status, 0) << "rank " << rank << " of " << size << " failed; see above";
  }
}

}  // namespace gear::dist::testing
