#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gear/data/image_folder.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/recipe.h"
#include "gear/train/run_config.h"

namespace gear::cli {

/// The configuration of a file with overrides, its data set opened and its class count filled in.
struct ResolvedRun {
  train::RunConfig config;
  std::shared_ptr<const data::ImageFolder> images;
};
ResolvedRun resolve_run(const std::string& config_path, const std::vector<std::string>& overrides);

/// LibTorch's threads: as configured, or one per core.
void use_threads(int64_t threads);

/// Tokenizer and transformer of a checkpoint (or of a run's newest one) in eval mode: the averaged
/// pair, or the live one. `ar` is empty for runs of the recipe `tokenizer`.
struct LoadedPair {
  train::RunConfig config;
  train::SamplingPair networks;
  int64_t step = 0;
};
LoadedPair load_pair(const std::string& path, bool ema, bool need_transformer);

}  // namespace gear::cli
