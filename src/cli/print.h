#pragma once

#include <iostream>

namespace gear::cli {

/// Writes the parts and a line end to standard output, at once: what goes to standard error later
/// also appears later.
template <class... Parts>
void print_line(const Parts&... parts) {
  (std::cout << ... << parts) << std::endl;
}

}  // namespace gear::cli
