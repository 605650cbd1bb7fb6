#include "gear/train/reference/checkpoint.h"

#include <array>

#include "gear/core/error.h"
#include "gear/models/critics/lpips.h"
#include "gear/nn/meta_scope.h"
#include "gear/train/network_fit.h"
#include "gear/train/reference/args.h"
#include "gear/train/schedule.h"
#include "train/reference/optimizer.h"

namespace gear::train::reference {
namespace {

using io::PickleValue;
using io::TorchValue;

struct Entry {
  const char* group;
  const char* key;
};

/// In the order in which the reference writes them.
constexpr std::array<Entry, 6> kNetworks = {{{"ar", "ar"},
                                             {"ar_ema", "ema"},
                                             {"projector", "projectors"},
                                             {"tokenizer", "vq"},
                                             {"tokenizer_ema", "vq_ema"},
                                             {"discriminator", "discriminator"}}};

struct Optimizer {
  const char* group;
  const char* key;       // of the moments
  const char* schedule;  // of the learning rate
  double OptimizerConfig::*base_lr;
};

constexpr std::array<Optimizer, 3> kOptimizers = {{
    {"optimizer_ar", "opt_ar", "sched_ar", &OptimizerConfig::ar_lr},
    {"optimizer_tokenizer", "opt_vq", "sched_vq", &OptimizerConfig::tokenizer_lr},
    {"optimizer_discriminator", "opt_disc", "sched_disc", &OptimizerConfig::discriminator_lr},
}};
constexpr const char* kTransformerAlone = "opt";

TorchValue map_of(const TensorGroup& group) {
  TorchValue::Dict dict;
  for (const auto& [name, tensor] : group.tensors) dict.set(name, tensor);
  return dict;
}

/// The reference's discriminator optimizer lists its whole loss module, LPIPS behind the
/// discriminator.
int64_t frozen_parameters(const std::string& optimizer_group) {
  if (optimizer_group != "optimizer_discriminator") return 0;
  const nn::MetaScope meta;
  return static_cast<int64_t>(models::make_lpips("", "")->parameters().size());
}

void add_optimizer(const StoredRun& run, const Optimizer& optimizer, TorchValue::Dict& root) {
  const TensorGroup* group = run.find(optimizer.group);
  if (group == nullptr) return;
  const OptimizerConfig& config = run.config.optimizer;
  const double base_lr = config.*optimizer.base_lr;
  const OptimizerSettings settings{
      .config = config,
      .base_lr = base_lr,
      .lr = scheduled_lr(config, base_lr, run.position.step, run.config.steps),
      .frozen_parameters = frozen_parameters(optimizer.group)};
  root.set(key_of_group(optimizer.group, run.config.recipe),
           optimizer_state_dict(*group, NetworkShapes(run.config).trained_by(optimizer.group),
                                settings));
  if (run.config.recipe == RecipeKind::kAr) return;  // has no schedule of its own there
  root.set(optimizer.schedule, schedule_state_dict(settings, run.position.step));
}

}  // namespace

std::string key_of_group(const std::string& group, RecipeKind recipe) {
  for (const Entry& entry : kNetworks) {
    if (group == entry.group) return entry.key;
  }
  for (const Optimizer& optimizer : kOptimizers) {
    if (group != optimizer.group) continue;
    const bool alone = recipe == RecipeKind::kAr && group == "optimizer_ar";
    return alone ? kTransformerAlone : optimizer.key;
  }
  return "";
}

std::vector<TensorGroup> optimizer_groups(const PickleValue& root, const RunConfig& config,
                                          const std::string& source) {
  std::vector<TensorGroup> groups;
  for (const Optimizer& optimizer : kOptimizers) {
    const std::string key = key_of_group(optimizer.group, config.recipe);
    const PickleValue* state_dict = root.find(key);
    if (state_dict == nullptr || !state_dict->is(PickleValue::Kind::kDict)) continue;
    groups.push_back(optimizer_group(*state_dict, optimizer.group,
                                     NetworkShapes(config).trained_by(optimizer.group),
                                     source + ": " + key));
  }
  return groups;
}

int64_t steps_of(const PickleValue& root) {
  const PickleValue* steps = root.find("steps");
  return steps != nullptr && steps->is(PickleValue::Kind::kInt) ? steps->integer : 0;
}

TorchValue checkpoint_value(const StoredRun& run) {
  TorchValue::Dict root;
  for (const Entry& entry : kNetworks) {
    if (const TensorGroup* group = run.find(entry.group)) root.set(entry.key, map_of(*group));
  }
  for (const Optimizer& optimizer : kOptimizers) add_optimizer(run, optimizer, root);
  root.set("args", args_from_config(run.config));
  root.set("steps", run.position.step);
  if (run.config.recipe == RecipeKind::kTokenizer) root.set("stage", 0);
  return root;
}

std::vector<std::string> groups_without_place(const StoredRun& run) {
  std::vector<std::string> names;
  for (const TensorGroup& group : run.groups) {
    if (key_of_group(group.name, run.config.recipe).empty()) names.push_back(group.name);
  }
  return names;
}

}  // namespace gear::train::reference
