#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gear {

/// The candidate nearest to `word` by edit distance, or "" when none is near enough to be a typo.
std::string nearest_name(const std::string& word, const std::vector<std::string>& candidates);

/// "a, b, c"
std::string join(const std::vector<std::string>& parts, const std::string& separator = ", ");

std::string format_count(int64_t count);      ///< 110888448 -> "110,888,448"
std::string format_bytes(double bytes);       ///< 1610612736 -> "1.5 GiB"
std::string format_duration(double seconds);  ///< 3725 -> "1 h 02 min", 62 -> "1 min 02 s"

}  // namespace gear
