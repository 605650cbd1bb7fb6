#pragma once

#include <yaml-cpp/yaml.h>

#include <string>

#include "gear/config/tree.h"

namespace gear::config {

/// The tree of a YAML document of `source`, whose values say the line they come from where
/// `with_line`. An alias may repeat a value, or contain itself, so that a small file stands for a
/// huge or endless tree: there is a limit on levels and on size. Throws Error.
Node tree_of(const YAML::Node& yaml, const std::string& source, bool with_line);

}  // namespace gear::config
