#pragma once

#include <c10/util/Exception.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "dist/group.h"
#include "gear/core/error.h"

namespace gear::dist {

/// Runs what waits for other ranks. When they do not come, LostRank says who is to blame instead of
/// what the backend says.
template <class Action>
auto awaiting(const World::Group& group, Action&& action) {
  const Activity::Waiting waiting(group.monitor->activity());
  std::string words;
  try {
    return action();
  } catch (const Error&) {  // a sentence already
    throw;
  } catch (const c10::Error& error) {
    words = error.what_without_backtrace();
  } catch (const std::runtime_error& error) {  // Gloo's own
    words = error.what();
  }
  group.monitor->give_up(words);
}

}  // namespace gear::dist
