#pragma once

#include <string>
#include <utility>

#include "gear/core/error.h"

namespace gear::io {

/// Runs `read`, which finds out that a file is not what it should be. Where the message of its
/// Error does not say what to do, which ours do behind a semicolon, it gets what helps against
/// damage.
template <class Read>
decltype(auto) with_advice(Read&& read) {
  try {
    return std::forward<Read>(read)();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (message.find("; ") != std::string::npos) throw;
    throw Error(message + "; the file is damaged or was made to deceive: fetch it again");
  }
}

}  // namespace gear::io
