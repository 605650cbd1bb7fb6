#include "train/sharding/units.h"

#include <set>
#include <utility>

namespace gear::train {
namespace {

/// The blocks of a network and the prefix of their names, "layers.3.".
std::vector<std::pair<std::string, nn::GatedModule*>> blocks_of(torch::nn::Module& network) {
  std::vector<std::pair<std::string, nn::GatedModule*>> blocks;
  for (const auto& item : network.named_modules("", /*include_self=*/false)) {
    if (auto* block = dynamic_cast<nn::GatedModule*>(item.value().get())) {
      blocks.emplace_back(item.key() + ".", block);
    }
  }
  return blocks;
}

}  // namespace

std::vector<std::string> trainable_names(const torch::nn::Module& network) {
  std::vector<std::string> names;
  for (const auto& item : network.named_parameters()) {
    if (item.value().requires_grad()) names.push_back(item.key());
  }
  return names;
}

std::vector<NetworkUnit> units_of(torch::nn::Module& network,
                                  const std::vector<std::string>& names) {
  const auto parameters = network.named_parameters();
  std::set<std::string> left(names.begin(), names.end());
  std::vector<NetworkUnit> units;
  const auto take = [&](const std::string& prefix, nn::GatedModule* block) {
    NetworkUnit unit{.block = block, .parameters = {}};
    for (const auto& item : parameters) {
      if (!item.key().starts_with(prefix) || left.erase(item.key()) == 0) continue;
      unit.parameters.emplace_back(item.key(), item.value());
    }
    if (!unit.parameters.empty()) units.push_back(std::move(unit));
  };
  for (const auto& [prefix, block] : blocks_of(network)) take(prefix, block);
  take("", nullptr);
  return units;
}

}  // namespace gear::train
