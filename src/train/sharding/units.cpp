#include "train/sharding/units.h"

#include <set>
#include <utility>

namespace gear::train {
namespace {

void add_own_parameters(const torch::nn::Module& module, const std::string& prefix,
                        NamedTensors& parameters) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    parameters.emplace_back(prefix + item.key(), item.value());
  }
  for (const auto& child : module.named_children()) {
    if (dynamic_cast<const nn::KeptModule*>(child.value().get()) != nullptr) continue;
    add_own_parameters(*child.value(), prefix + child.key() + ".", parameters);
  }
}

}  // namespace

NamedTensors own_parameters(const torch::nn::Module& module, const std::string& prefix) {
  NamedTensors parameters;
  add_own_parameters(module, prefix, parameters);
  return parameters;
}

std::vector<std::string> parameter_names(const torch::nn::Module& network) {
  std::vector<std::string> names;
  for (const auto& item : network.named_parameters()) names.push_back(item.key());
  return names;
}

std::vector<std::string> trainable_names(const torch::nn::Module& network) {
  std::vector<std::string> names;
  for (const auto& item : network.named_parameters()) {
    if (item.value().requires_grad()) names.push_back(item.key());
  }
  return names;
}

std::vector<NetworkUnit> units_of(nn::KeptModule& network, const std::vector<std::string>& names) {
  const std::set<std::string> wanted(names.begin(), names.end());
  std::vector<NetworkUnit> units;
  const auto take = [&](nn::KeptModule* module, const std::string& prefix) {
    NetworkUnit unit{.module = module, .prefix = prefix};
    for (auto& parameter : own_parameters(*module, prefix)) {
      if (wanted.contains(parameter.first)) unit.parameters.push_back(std::move(parameter));
    }
    if (!unit.parameters.empty()) units.push_back(std::move(unit));
  };
  for (const auto& item : network.named_modules("", /*include_self=*/false)) {
    if (auto* block = dynamic_cast<nn::KeptModule*>(item.value().get())) {
      take(block, item.key() + ".");
    }
  }
  take(&network, "");
  return units;
}

}  // namespace gear::train
