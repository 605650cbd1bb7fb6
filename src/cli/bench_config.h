#pragma once

#include <string>
#include <vector>

#include "gear/train/run_config.h"

namespace gear::cli {

/// The configuration of a run whose networks get random weights: what a step or a checkpoint costs
/// does not depend on them.
train::RunConfig config_without_weights(const std::string& path,
                                        const std::vector<std::string>& overrides);

}  // namespace gear::cli
