#pragma once

#include <string>

#include "gear/config/tree.h"

namespace gear::config {

/// A YAML document that stands in a text. It cannot extend files. `source` begins the message of an
/// Error: "source:3: not valid YAML: ...".
Node parse_tree(const std::string& yaml, const std::string& source);

}  // namespace gear::config
