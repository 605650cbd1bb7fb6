#pragma once

#include <algorithm>
#include <array>
#include <string>

namespace gear::io {

/// Whether the message of an Error about a weight file ends with what its reader can do, as a
/// clause of its own: "...; fetch it again".
inline bool says_what_to_do(const std::string& message) {
  constexpr std::array kDeeds = {"fetch ", "copy ",   "save ", "convert ",
                                 "name ",  "unpack ", "pack "};
  const size_t end = std::max(message.rfind("; ") + 1, message.rfind(". ") + 1);  // npos + 1 is 0
  if (end == 0) return false;
  const std::string last = message.substr(end);
  return std::any_of(kDeeds.begin(), kDeeds.end(),
                     [&](const char* deed) { return last.find(deed) != std::string::npos; });
}

}  // namespace gear::io
