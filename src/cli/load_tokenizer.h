#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "gear/core/device.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/run_config.h"

namespace gear::cli {

/// A tokenizer in eval mode, and the configuration that says how pictures become its input.
struct LoadedTokenizer {
  std::shared_ptr<models::Tokenizer> network;
  train::RunConfig config;
  std::string from;  ///< the file of its weights
};
struct TokenizerOptions {
  std::string config;  ///< a configuration with the sections tokenizer and data; empty: the run's
  std::vector<std::string> overrides{};  ///< "a.b=c", on top of `config`
  bool ema = true;                       ///< the averaged weights where there are some
  DeviceChoice device = DeviceChoice::kAuto;
};

/// `path`: a run folder, a checkpoint, or a weight file, which does not say what network it is of
/// and so needs `options.config`. Throws Error when the weights do not fit.
LoadedTokenizer load_tokenizer(const std::string& path, const TokenizerOptions& options);

/// Copies the averaged (`ema`, where there are some) or live tokenizer weights of a run, checkpoint
/// or weight file into `network`. Returns the file they came from.
std::string load_tokenizer_weights(models::Tokenizer& network, const std::string& path, bool ema);

/// Moves a network to its device, in eval mode and without gradients.
void freeze(torch::nn::Module& network, c10::Device device);

}  // namespace gear::cli
