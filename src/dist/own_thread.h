#pragma once

#include <chrono>
#include <future>
#include <optional>
#include <thread>
#include <utility>

namespace gear::dist {

/// Calls `action` in a thread of its own. A store whose process is stopped answers nobody, for as
/// long as it is stopped; the thread that asked is then given up, and must own all it touches.
template <class Action>
auto in_own_thread(Action action) {
  std::packaged_task<decltype(action())()> task(std::move(action));
  auto result = task.get_future();
  std::thread(std::move(task)).detach();
  return result;
}

template <class T>
bool is_ready(const std::future<T>& result) {
  return result.valid() && result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

/// What `action` returns or throws; nothing when it takes longer than `limit`.
template <class Action>
auto within(std::chrono::milliseconds limit, Action action) {
  auto result = in_own_thread(std::move(action));
  using Value = decltype(result.get());
  if (result.wait_for(limit) != std::future_status::ready) return std::optional<Value>();
  return std::optional<Value>(result.get());
}

}  // namespace gear::dist
