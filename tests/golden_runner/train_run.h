#pragma once

#include <memory>

#include "gear/train/recipes/gear_recipe.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

/// The networks and the recipe of a case of kind gear_train_steps, before its first step.
struct TrainRun {
  train::RunConfig config;
  std::unique_ptr<train::Recipe> recipe;
  std::shared_ptr<models::Tokenizer> tokenizer;
  train::Teachers teachers;
};

TrainRun make_train_run(const Case& golden);

}  // namespace gear::golden
