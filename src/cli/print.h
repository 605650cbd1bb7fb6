#pragma once

#include <iostream>
#include <sstream>

#include "gear/core/printable.h"

namespace gear::cli {

/// Writes the parts and a line end to standard output, at once: what goes to standard error later
/// also appears later. Control characters are escaped, line ends not: what stands between ours in a
/// name goes through printable().
template <class... Parts>
void print_line(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  std::cout << printable_lines(text.str()) << std::endl;
}

}  // namespace gear::cli
