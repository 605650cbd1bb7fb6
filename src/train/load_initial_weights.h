#pragma once

#include <string>
#include <vector>

#include "gear/train/recipe.h"
#include "gear/train/run_config.h"

namespace gear::train {

/// Fills the networks of a new recipe from the files of `init`, each rank the elements that it
/// holds, and their averages. Returns what to tell the user: where the weights came from. Throws
/// Error when a file lacks what it is named for, or does not fit. On several ranks a collective.
std::vector<std::string> load_initial_weights(Recipe& recipe, const RunConfig& config);

}  // namespace gear::train
