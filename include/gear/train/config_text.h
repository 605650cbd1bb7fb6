#pragma once

#include <string>
#include <vector>

#include "gear/train/run_config.h"

namespace gear::train {

/// The whole configuration as YAML, every key under its help if asked. Reading it gives the same
/// configuration.
std::string config_text(const RunConfig& config, bool with_help);

/// A configuration that stands in a text, with `overrides` ("a.b=c"); every rule is checked.
/// `source` begins the message of an Error.
RunConfig config_of_text(const std::string& yaml, const std::string& source,
                         const std::vector<std::string>& overrides = {});

}  // namespace gear::train
