#pragma once

#include <functional>
#include <string>

#include "gear/core/error.h"

namespace gear::models {

/// The message of the Error that `action` throws.
inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace gear::models
