#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gear/train/recipe.h"
#include "gear/train/run_config.h"
#include "gear/train/sharding/parallel.h"

namespace gear::train {

/// A recipe ready for step 0, and what the user must be told once before the run starts: which
/// networks have random weights, which weights were taken from where.
struct BuiltRecipe {
  std::unique_ptr<Recipe> recipe;
  std::vector<std::string> warnings;  ///< weights that are random where published ones exist
  std::vector<std::string> notices;   ///< where the initial weights came from
};

/// Whether trained networks start from the files of `init`, or are about to be filled from a
/// checkpoint of this run, which must not need those files any more.
enum class WeightSource { kInit, kCheckpoint };

/// Builds every network of the run, initialised from named random streams of the run's seed, then
/// from the files of `init`, `teacher` and `loss`. `config.data.num_classes` must be resolved. On
/// several ranks a collective.
BuiltRecipe make_recipe(const RunConfig& config, WeightSource weights = WeightSource::kInit,
                        const Parallel& parallel = {});

}  // namespace gear::train
