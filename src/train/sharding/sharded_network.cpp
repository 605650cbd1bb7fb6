#include "gear/train/sharding/sharded_network.h"

#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/stack.h>

#include <set>
#include <utility>

#include "train/sharding/divided_build.h"
#include "train/sharding/sharded_unit.h"
#include "train/sharding/units.h"

namespace gear::train {

ShardedNetwork::ShardedNetwork(nn::KeptModule& module, const Parallel& parallel)
    : ShardedNetwork(module, parallel, /*is_average=*/false, trainable_names(module)) {}

ShardedNetwork::ShardedNetwork(nn::KeptModule& average, const ShardedNetwork& live)
    : ShardedNetwork(average, live.parallel_, /*is_average=*/true, live.trained_names_) {}

ShardedNetwork ShardedNetwork::frozen(nn::KeptModule& module, const Parallel& parallel) {
  TORCH_CHECK(divides_parameters(parallel), "ShardedNetwork::frozen: nothing is divided here");
  return {module, parallel, /*is_average=*/false, parameter_names(module)};
}

ShardedNetwork::ShardedNetwork(nn::KeptModule& module, const Parallel& parallel, bool is_average,
                               std::vector<std::string> names)
    : module_(module),
      parallel_(parallel),
      is_average_(is_average),
      trained_names_(std::move(names)) {
  if (has_units(parallel_)) make_units();
}

ShardedNetwork::~ShardedNetwork() = default;
ShardedNetwork::ShardedNetwork(ShardedNetwork&&) noexcept = default;

/// The unit that a DividedBuild has made of it, or a new one.
std::shared_ptr<ShardedUnit> ShardedNetwork::sharded(NetworkUnit& unit) const {
  if (auto built = std::dynamic_pointer_cast<ShardedUnit>(unit.module->keeper())) {
    built->add_prefix(unit.prefix);
    return built;
  }
  const auto use = is_average_ ? UnitUse::kAverage : UnitUse::kTrained;
  auto made = std::make_shared<ShardedUnit>(std::move(unit.parameters), use, parallel_);
  unit.module->set_keeper(made);
  return made;
}

void ShardedNetwork::make_units() {
  std::vector<ShardedUnit*> blocks;
  for (NetworkUnit& unit : units_of(module_, trained_names_)) {
    units_.push_back(sharded(unit));
    if (unit.is_root()) {
      root_ = units_.back();
    } else {
      blocks.push_back(units_.back().get());
    }
    shards_.insert(units_.back()->shards().begin(), units_.back()->shards().end());
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i]->set_neighbours(i > 0 ? blocks[i - 1] : nullptr,
                              i + 1 < blocks.size() ? blocks[i + 1] : nullptr);
  }
}

TensorGroup ShardedNetwork::state(const std::string& name) const {
  TensorGroup group = module_group(name, module_);
  group.tensors = tensors();
  group.shards = shards_;
  return group;
}

NamedTensors ShardedNetwork::tensors() const {
  std::map<std::string, Tensor> pieces;
  for (const auto& unit : units_) pieces.insert(unit->trained().begin(), unit->trained().end());
  NamedTensors tensors = module_group("", module_).tensors;
  for (auto& [name, tensor] : tensors) {
    if (const auto piece = pieces.find(name); piece != pieces.end()) tensor = piece->second;
  }
  return tensors;
}

std::vector<NamedParameter> ShardedNetwork::trained(const std::string& owner) const {
  const std::set<std::string> names(trained_names_.begin(), trained_names_.end());
  std::vector<NamedParameter> trained;
  for (const auto& [name, tensor] : tensors()) {
    if (names.contains(name)) trained.emplace_back(owner + "." + name, tensor);
  }
  return trained;
}

void ShardedNetwork::begin_pass(bool last) {
  for (const auto& unit : units_) unit->begin_pass(last);
  if (root_) root_->gather();
}

void ShardedNetwork::finish_pass() {
  for (const auto& unit : units_) unit->finish_pass();
}

void ShardedNetwork::hand_out_gradients() {
  for (const auto& unit : units_) unit->hand_out_gradients();
}

void ShardedNetwork::discard_gradients() {
  for (const auto& unit : units_) unit->discard_gradients();
}

std::vector<Tensor> ShardedNetwork::gradient_norms() const {
  if (parallel_.config.deterministic) return norms_of_whole_gradients();
  std::vector<Tensor> gradients;
  for (const auto& [name, parameter] : trained("")) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return {};
  auto norms = at::_foreach_norm(gradients);
  if (shards_.empty() || parallel_.parts.is_single()) return norms;
  const Tensor squares = at::stack(norms).square();
  parallel_.parts.sum(squares);
  return squares.sqrt().unbind();
}

/// The norms that one process would find, to the bit.
std::vector<Tensor> ShardedNetwork::norms_of_whole_gradients() const {
  std::map<std::string, Tensor> norms;
  for (const auto& unit : units_) norms.merge(unit->norms_of_whole_gradients());
  std::vector<Tensor> in_order;
  for (const auto& [name, parameter] : trained("")) {
    if (const auto norm = norms.find(name.substr(1)); norm != norms.end()) {
      in_order.push_back(norm->second);
    }
  }
  return in_order;
}

void ShardedNetwork::place_moments(const std::string& owner, TensorGroup& optimizer) const {
  for (const auto& [name, shard] : shards_) {
    optimizer.shards["exp_avg." + owner + "." + name] = shard;
    optimizer.shards["exp_avg_sq." + owner + "." + name] = shard;
  }
}

void ShardedNetwork::spread_update() {
  for (const auto& unit : units_) unit->spread_update();
}

void ShardedNetwork::open() {
  if (root_) root_->pin();
}

void ShardedNetwork::close() {
  if (root_) root_->unpin();
  for (const auto& unit : units_) unit->release();  // what was brought in advance
}

}  // namespace gear::train
