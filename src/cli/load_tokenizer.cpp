#include "cli/load_tokenizer.h"

#include <filesystem>

#include "gear/core/error.h"
#include "gear/train/checkpoint.h"
#include "gear/train/initial_weights.h"

namespace gear::cli {
namespace {

/// The configuration of the run, or the one that is named.
train::RunConfig tokenizer_config(const std::string& path, const TokenizerOptions& options) {
  if (!options.config.empty()) {
    return config::load<train::RunConfig>(options.config, options.overrides);
  }
  const auto checkpoint = train::find_checkpoint(path);
  if (checkpoint) {
    return config::load<train::RunConfig>(checkpoint->config_path(), options.overrides);
  }
  fail(path,
       ": is no run folder or checkpoint of gear, from which the network would be known; name a "
       "configuration with its tokenizer section, as in --config "
       "configs/imagenet256/stage0_vq16.yaml");
}

}  // namespace

LoadedTokenizer load_tokenizer(const std::string& path, const TokenizerOptions& options) {
  if (!std::filesystem::exists(path)) {
    fail(path, ": no such run folder, checkpoint or weight file");
  }
  LoadedTokenizer loaded{.network = nullptr, .config = tokenizer_config(path, options), .from = ""};
  loaded.network = models::make_tokenizer(loaded.config.tokenizer);
  loaded.from = load_tokenizer_weights(*loaded.network, path, options.ema);
  freeze(*loaded.network, resolve_device(options.device));
  return loaded;
}

std::string load_tokenizer_weights(models::Tokenizer& network, const std::string& path, bool ema) {
  auto groups = std::vector<std::string>{"tokenizer_ema", "tokenizer"};
  if (!ema) groups.erase(groups.begin());
  return train::InitialWeights().load(train::module_group("tokenizer", network), path, groups,
                                      /*required=*/true);
}

void freeze(torch::nn::Module& network, c10::Device device) {
  network.to(device);
  network.eval();
  for (auto& parameter : network.parameters()) parameter.requires_grad_(false);
}

}  // namespace gear::cli
