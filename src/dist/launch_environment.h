#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gear/dist/launcher.h"

namespace gear::dist {

/// A port of this machine that nobody listens on.
uint16_t free_port();

/// The environment of this process, "NAME=value", with what torchrun sets for that rank.
std::vector<std::string> environment_of_rank(const LaunchOptions& options, int64_t local_rank);

}  // namespace gear::dist
