#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gear::io {

struct StrictJson {
  nlohmann::json value;
  std::vector<std::string> keys;  ///< of the outermost object, in the order of the text
};

/// Parses JSON that may come from anybody: at most `max_depth` levels, and no key twice in one
/// object, about which readers would disagree. `name` begins the message of an Error
/// ("x.safetensors: the header"). Takes time in proportion to the text.
StrictJson parse_strict_json(const std::string& name, std::string_view text, size_t max_depth);

}  // namespace gear::io
