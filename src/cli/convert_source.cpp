#include "cli/convert.h"
#include "cli/convert_contents.h"
#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/train/config_text.h"
#include "gear/train/network_fit.h"
#include "gear/train/reference/checkpoint.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using train::NetworkParts;
using train::RecipeKind;
using train::RunConfig;
using train::StoredRun;

constexpr int64_t kMostSteps = 1'000'000'000;

/// Drops what --part does not name.
void keep_wanted_parts(const ConvertOptions& options, ConvertContents& contents) {
  if (options.parts.empty()) return;
  auto& networks = contents.parts.networks;
  std::vector<std::string> there;
  for (const auto& [group, tensors] : networks) there.push_back(group);
  std::map<std::string, io::TensorMap> wanted;
  for (const std::string& part : options.parts) {
    if (!networks.contains(part)) {
      fail("--part ", part, ": ", options.source, " has no such part; it has ", join(there));
    }
    wanted[part] = networks.at(part);
  }
  networks = std::move(wanted);
  contents.others.clear();  // they belong to the whole run
}

/// The recipe that trains what is there; the configured one where it can be.
RecipeKind recipe_of(const ConvertContents& contents, RecipeKind configured) {
  const NetworkParts& parts = contents.parts;
  const bool has_transformer = parts.contains("ar") || parts.contains("ar_ema");
  const bool has_tokenizer = parts.contains("tokenizer") || parts.contains("tokenizer_ema");
  if (!has_transformer) return RecipeKind::kTokenizer;
  if (configured == RecipeKind::kGear && !has_tokenizer) return RecipeKind::kAr;
  if (configured != RecipeKind::kTokenizer) return configured;
  const bool trains_tokenizer = parts.contains("tokenizer_ema") || parts.contains("discriminator");
  return trains_tokenizer ? RecipeKind::kGear : RecipeKind::kAr;
}

/// The configuration of the run: from --config, or else what the source tells; every rule checked.
RunConfig resolve_config(const ConvertOptions& options, const ConvertContents& contents) {
  RunConfig config;
  if (!options.config.empty()) {
    config = config::load<RunConfig>(options.config);
  } else if (contents.config) {
    config = *contents.config;
  } else {
    fail(options.source,
         ": does not tell the architecture of its networks; give a configuration that has it with "
         "--config FILE.yaml, for example configs/imagenet256/stage0_vq16.yaml");
  }
  const RecipeKind recipe = recipe_of(contents, config.recipe);
  // Where the weights came from is now this file; the recipe ar must name a source.
  if (recipe == RecipeKind::kAr && config.init.from.empty() && config.init.tokenizer.empty()) {
    config.init.from = options.source;
  }
  config.recipe = recipe;
  if (config.run_dir.empty()) config.run_dir = fs::path(options.source).stem().string();
  return train::config_of_text(train::config_text(config, /*with_help=*/false),
                               options.source + ": its configuration", options.overrides);
}

void add_networks(const ConvertOptions& options, const ConvertContents& contents,
                  ConvertSource& result) {
  const train::NetworkShapes shapes(result.run.config);
  for (const auto& [group, tensors] : contents.parts.networks) {
    if (group.empty()) {
      if (contents.parts.networks.size() > 1) continue;  // tensors beside the networks
      fail(options.source, ": its tensors are those of no network that gear knows; gear inspect ",
           options.source, " tells what it holds");
    }
    auto fitted = train::fit_network(shapes, group, tensors, options.source);
    result.run.groups.push_back(std::move(fitted.group));
    if (!fitted.ignored.empty()) result.notes.push_back({group + ": ignored", fitted.ignored});
    if (!fitted.converted.empty()) {
      result.notes.push_back({group + ": converted", fitted.converted});
    }
  }
  std::vector<std::string> names = contents.left_out;
  const auto beside = contents.parts.networks.find("");
  if (beside != contents.parts.networks.end()) {
    for (const auto& [name, tensor] : beside->second) names.push_back(name);
  }
  if (!names.empty()) result.notes.push_back({"of no network: ignored", names});
}

void add_optimizers(const ConvertOptions& options, const ConvertContents& contents,
                    ConvertSource& result) {
  for (const train::TensorGroup& group : contents.others) result.run.groups.push_back(group);
  if (contents.parts.archive == nullptr || !options.parts.empty()) return;
  for (auto& group : train::reference::optimizer_groups(contents.parts.archive->root(),
                                                        result.run.config, options.source)) {
    result.run.groups.push_back(std::move(group));
  }
}

/// The tokenizer of another source, averaged if it has that, as the frozen one of this run.
void add_tokenizer(const ConvertOptions& options, ConvertSource& result) {
  if (options.tokenizer.empty()) return;
  if (result.run.find("tokenizer") != nullptr || result.run.find("tokenizer_ema") != nullptr) {
    fail("--tokenizer: ", options.source, " has a tokenizer of its own; leave the option out");
  }
  const ConvertContents other = read_contents(options.tokenizer, /*with_config=*/false);
  const auto& networks = other.parts.networks;
  const auto average = networks.find("tokenizer_ema");
  const auto chosen = average != networks.end() ? average : networks.find("tokenizer");
  if (chosen == networks.end()) {
    fail("--tokenizer: ", options.tokenizer, ": has no tokenizer; gear inspect ", options.tokenizer,
         " tells what it holds");
  }
  auto fitted = train::fit_network(train::NetworkShapes(result.run.config), "tokenizer",
                                   chosen->second, options.tokenizer);
  if (!fitted.ignored.empty()) result.notes.push_back({"tokenizer: ignored", fitted.ignored});
  result.run.groups.push_back(std::move(fitted.group));
}

}  // namespace

ConvertSource read_source(const ConvertOptions& options) {
  ConvertContents contents = read_contents(options.source, /*with_config=*/options.config.empty());
  keep_wanted_parts(options, contents);
  ConvertSource result{.run = {.config = resolve_config(options, contents),
                               .position = contents.position,
                               .groups = {}},
                       .notes = {}};
  train::RunPosition& position = result.run.position;
  if (position.step < 0 || position.step > kMostSteps) {
    fail(options.source, ": says that ", position.step, " steps were done, expected from 0 to ",
         kMostSteps);
  }
  if (position.samples == 0) {  // only checkpoints of gear tell
    const RunConfig& config = result.run.config;
    position.samples = position.step * config.data.batch_size;
    position.micro_batches = position.step * config.optimizer.accumulation;
    position.seed = config.seed;
  }
  add_networks(options, contents, result);
  add_optimizers(options, contents, result);
  add_tokenizer(options, result);
  return result;
}

}  // namespace gear::cli
