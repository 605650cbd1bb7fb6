#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gear/config/tree.h"

namespace gear::config {

/// A YAML document that stands in a text. It cannot extend files. `source` begins the message of an
/// Error: "source:3: not valid YAML: ...".
Node parse_tree(const std::string& yaml, const std::string& source);

/// "a.b" and value of every scalar line of a dumped configuration, in order. Dumps nest by two
/// spaces and hold one key a line.
std::vector<std::pair<std::string, std::string>> flat_keys(const std::string& yaml);

}  // namespace gear::config
