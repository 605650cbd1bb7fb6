#include "gear/train/metrics.h"

#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>

#include <algorithm>

namespace gear::train {
namespace {

auto entry_named(auto& values, const std::string& name) {
  return std::find_if(values.begin(), values.end(),
                      [&](const auto& entry) { return entry.first == name; });
}

}  // namespace

void Metrics::add(const std::string& name, const Tensor& value) {
  TORCH_CHECK(value.defined() && value.numel() == 1, "Metrics: ", name, " must be one number");
  TORCH_CHECK(entry_named(values_, name) == values_.end(), "Metrics: ", name, " is there already");
  values_.emplace_back(name, value.detach().reshape({}));
}

void Metrics::add(const std::string& name, double value) {
  add(name, at::scalar_tensor(value, at::kDouble));
}

void Metrics::append(const Metrics& other) {
  for (const auto& [name, value] : other.values_) add(name, value);
}

void Metrics::accumulate(const Metrics& other, double weight) {
  for (const auto& [name, value] : other.values_) {
    const Tensor weighted = at::mul(value, weight);
    const auto entry = entry_named(values_, name);
    if (entry == values_.end()) {
      add(name, weighted);
    } else {
      entry->second = entry->second + weighted;
    }
  }
}

std::vector<Metrics> Metrics::of_all_ranks(const dist::World& world) const {
  if (world.is_single()) return {*this};
  const auto device = world.device();
  std::vector<Tensor> own;
  for (const auto& [name, value] : values_) own.push_back(value.to(device, at::kDouble));
  const Tensor all = world.stack(at::stack(own));  // [W, values]
  std::vector<Metrics> ranks(static_cast<size_t>(world.size()));
  for (int64_t rank = 0; rank < world.size(); ++rank) {
    for (size_t i = 0; i < values_.size(); ++i) {
      const auto& [name, value] = values_[i];
      const Tensor of_rank = all[rank][static_cast<int64_t>(i)];
      ranks[static_cast<size_t>(rank)].add(name, of_rank.to(value.scalar_type()));
    }
  }
  return ranks;
}

std::vector<std::pair<std::string, double>> Metrics::host_values() const {
  std::vector<Tensor> on_device;  // read together: one wait instead of one per value
  for (const auto& [name, value] : values_) {
    if (!value.is_cpu()) on_device.push_back(value.to(at::kDouble));
  }
  const Tensor copied = on_device.empty() ? Tensor() : at::stack(on_device).cpu();

  std::vector<std::pair<std::string, double>> host;
  int64_t next_copied = 0;
  for (const auto& [name, value] : values_) {
    host.emplace_back(name, (value.is_cpu() ? value : copied[next_copied++]).item<double>());
  }
  return host;
}

}  // namespace gear::train
