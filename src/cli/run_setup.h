#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/training_data.h"
#include "gear/core/device.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/recipe.h"
#include "gear/train/run_config.h"
#include "gear/train/run_folder.h"

namespace gear::cli {

/// The configuration of a file with overrides, its data set opened, and filled in what depends on
/// this machine and the data: class count, held-out folder, arithmetic.
/// Every file and folder that the run will read is known to be there; those of `init` only when the
/// run starts anew. Nothing is written.
struct ResolvedRun {
  train::RunConfig config;
  TrainingData data;
};
ResolvedRun resolve_run(const std::string& config_path, const std::vector<std::string>& overrides,
                        const train::Resume& resume);

/// Decides what is left to this machine: `precision` and `convolutions`, where they are auto.
void resolve_arithmetic(train::RunConfig& config);

/// LibTorch's threads: as configured, or one per core that this process has beside the others of
/// the run on this machine.
void use_threads(int64_t threads, int64_t processes = 1);
/// The method of all convolutions of stride 1 of this process, as resolved.
void use_convolutions(train::Convolutions convolutions);

/// Tokenizer and transformer of a checkpoint (or of a run's newest one) in eval mode: the averaged
/// pair, or the live one. `ar` is empty for runs of the recipe `tokenizer`.
struct LoadedPair {
  train::RunConfig config;
  train::SamplingPair networks;
  int64_t step = 0;
};
struct PairOptions {
  bool ema = true;
  bool need_transformer = false;
  /// Run, checkpoint or weight file with the tokenizer; empty: that of the checkpoint.
  std::string tokenizer{};
  DeviceChoice device = DeviceChoice::kAuto;
};
LoadedPair load_pair(const std::string& path, const PairOptions& options);

/// --device auto|cpu|cuda
void add_device_option(CLI::App& command, DeviceChoice& device);

}  // namespace gear::cli
