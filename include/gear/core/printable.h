#pragma once

#include <string>
#include <string_view>

namespace gear {

/// `text` as a terminal may be given it: control characters, line ends and marks that turn the
/// direction of writing become \n, \t, \r or \u001b, bytes that are no UTF-8 become \x9b. A name in
/// a file from anybody can then neither drive the terminal nor pass for a line of ours.
std::string printable(std::string_view text);

/// The same of a text of several lines, which it keeps apart. JSON stays what it is.
std::string printable_lines(std::string_view text);

}  // namespace gear
