#pragma once

#include <cstdint>
#include <utility>

/// How much work a parser does, as the number of branches of its sources that were taken: the same
/// on every machine, so that a test can tell work that grows with the input from work that grows
/// with its square. CMakeLists.txt names the sources that are compiled to count.
namespace gear::work {

uint64_t branches();  ///< taken so far

template <class Action>
uint64_t branches_of(Action&& action) {
  const uint64_t before = branches();
  std::forward<Action>(action)();
  return branches() - before;
}

/// Inputs of the two sizes: eight times as much takes about that much more work, where a step for
/// every pair comes to sixty-four times as much.
inline constexpr int kFew = 1'000, kMany = 8 * kFew;
inline constexpr uint64_t kMostGrowth = 16;

}  // namespace gear::work
