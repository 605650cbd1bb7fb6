#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace gear {

/// A mistake the user can fix: one sentence with place, what was found, what was expected, what to
/// do. The command line prints it without a stack trace and exits with `exit_code::kUserError`.
/// What only a developer can fix is TORCH_CHECK, whose trace is wanted.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Joins the arguments into one message and throws it as Error.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(message.str());
}

/// Runs `action` and puts "context: " in front of the message of any Error that leaves it.
template <class Action>
decltype(auto) with_context(const std::string& context, Action&& action) {
  try {
    return std::forward<Action>(action)();
  } catch (const Error& error) {
    throw Error(context + ": " + error.what());
  }
}

/// Exit codes of every `gear` command, documented in README.md.
namespace exit_code {
inline constexpr int kSuccess = 0;
inline constexpr int kInternalError = 1;  ///< a defect of gear itself; a trace is printed
inline constexpr int kUserError = 2;      ///< bad input; one sentence is printed
inline constexpr int kInterrupted = 75;   ///< stopped by a signal after saving; run again to resume
}  // namespace exit_code

}  // namespace gear
