#include "gear/train/initial_weights.h"

#include <algorithm>

#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/weight_targets.h"

namespace gear::train {
namespace {

/// The groups to look for in a weight file of another program.
std::vector<std::string> with_fallback(std::vector<std::string> candidates) {
  const auto has = [&](const char* group) {
    return std::find(candidates.begin(), candidates.end(), group) != candidates.end();
  };
  if (has("tokenizer") && !has("tokenizer_ema")) candidates.emplace_back("tokenizer_ema");
  return candidates;
}

/// "ar, tokenizer" of what a file holds.
std::string names_of(const NetworkParts& parts) {
  std::vector<std::string> names;
  for (const auto& [group, tensors] : parts.networks) names.push_back(group);
  return join(names);
}

std::vector<io::WeightTarget> targets_of(const TensorGroup& module) {
  std::vector<io::WeightTarget> targets;
  for (const auto& [name, tensor] : module.tensors) {
    io::WeightTarget& target = targets.emplace_back(io::WeightTarget{
        .name = name, .tensor = tensor, .may_be_missing = module.buffers.contains(name)});
    const auto shard = module.shards.find(name);
    if (shard == module.shards.end()) continue;
    target.slice = {.shape = shard->second.shape, .offset = shard->second.offset};
  }
  return targets;
}

/// A frozen table that keeps its random values is as wrong as a weight that does.
void assign_all(const TensorGroup& module, const io::TensorMap& tensors,
                const std::string& source) {
  const auto kept = io::assign_weights(targets_of(module), tensors, source).kept;
  if (!kept.empty()) {
    fail(source, ": lacks ", kept.size(), " of the model's buffers (", kept.front(),
         kept.size() > 1 ? ", ..." : "", ")");
  }
}

/// Copies the tensors; where they do not fit, adds what to do.
void assign(const TensorGroup& module, const io::TensorMap& tensors,
            const std::filesystem::path& path, const std::string& advice) {
  try {
    assign_all(module, tensors, path.string());
  } catch (const Error& error) {
    fail(error.what(), advice);
  }
}

/// What to do where the weights of a checkpoint do not fit.
std::string compare_with(const std::filesystem::path& config) {
  return "; it was trained with another configuration: compare data.num_classes, tokenizer and ar "
         "with " +
         config.string();
}

}  // namespace

const std::optional<Checkpoint>& InitialWeights::checkpoint_at(
    const std::filesystem::path& source) {
  const auto known = checkpoints_.find(source);
  if (known != checkpoints_.end()) return known->second;
  return checkpoints_.emplace(source, find_checkpoint(source)).first->second;
}

const NetworkParts& InitialWeights::parts_at(const std::filesystem::path& source) {
  const auto known = parts_.find(source);
  if (known != parts_.end()) return known->second;
  return parts_.emplace(source, read_network_parts(source)).first->second;
}

std::string InitialWeights::load(const TensorGroup& module, const std::filesystem::path& source,
                                 const std::vector<std::string>& candidates, bool required) {
  if (!std::filesystem::exists(source)) {
    fail(source.string(),
         ": no such checkpoint, run folder or weight file; name one that is there");
  }
  if (const auto& checkpoint = checkpoint_at(source)) {
    for (const std::string& group : candidates) {
      if (!checkpoint->contains(group)) continue;
      const auto path = checkpoint->group_path(group);
      assign(module, io::load_tensors(path), path, compare_with(checkpoint->config_path()));
      return path.string();
    }
    if (!required) return "";
    fail(checkpoint->folder().string(), ": has no ", join(candidates, " or "), "; it has ",
         join(checkpoint->groups()));
  }
  if (std::filesystem::is_directory(source / "checkpoints")) {
    fail(source.string(), ": this run has no checkpoint yet; let it train until it writes one");
  }
  const NetworkParts& parts = parts_at(source);
  auto groups = with_fallback(candidates);
  groups.emplace_back("");  // what no network is known by is tried, to say what it lacks
  for (const std::string& group : groups) {
    if (!parts.contains(group)) continue;
    assign(module, parts.networks.at(group), source,
           "; gear inspect " + source.string() + " tells what it holds");
    return source.string() + (group.empty() ? "" : " (" + group + ")");
  }
  if (!required) return "";
  fail(source.string(), ": has no ", join(candidates, " or "), "; it has ", names_of(parts),
       ". Name a file or run that has it under a key of its own, such as init.tokenizer");
}

}  // namespace gear::train
