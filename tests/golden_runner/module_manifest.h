#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gear::golden {

struct ManifestEntry {
  std::string name;
  at::Tensor tensor;
  bool is_parameter;
};

/// In the order of a Python state_dict: a module's parameters, its buffers, then its children.
inline void list_entries(const torch::nn::Module& module, const std::string& prefix,
                         std::vector<ManifestEntry>& entries) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    entries.push_back({prefix + item.key(), item.value(), true});
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    entries.push_back({prefix + item.key(), item.value(), false});
  }
  for (const auto& child : module.named_children()) {
    list_entries(*child.value(), prefix + child.key() + ".", entries);
  }
}

/// Compares names, shapes, types and counts of `module` with a manifest of the golden cases. Calls
/// `expect` with what was compared and whether it agrees.
inline void compare_with_manifest(
    const std::string& model, const nlohmann::ordered_json& manifest,
    const torch::nn::Module& module,
    const std::function<void(const std::string& what, bool agrees)>& expect) {
  std::vector<ManifestEntry> entries;
  list_entries(module, "", entries);
  const auto& tensors = manifest.at("tensors");
  const auto& tensor_count = manifest.at("tensor_count");
  expect(
      model + ": " + std::to_string(entries.size()) + " tensors, expected " + tensor_count.dump(),
      tensor_count == entries.size() && tensors.size() == entries.size());

  int64_t parameters = 0;
  auto expected = tensors.begin();
  for (const ManifestEntry& entry : entries) {
    if (entry.is_parameter) parameters += entry.tensor.numel();
    if (expected == tensors.end()) continue;
    const auto dtype = entry.tensor.scalar_type() == at::kLong ? "int64" : "float32";
    const auto found = nlohmann::ordered_json::array(
        {entry.tensor.sizes().vec(), dtype, entry.is_parameter ? "parameter" : "buffer"});
    expect(model + ": " + entry.name + " " + found.dump() + ", expected " + expected.key() + " " +
               expected.value().dump(),
           entry.name == expected.key() && found == expected.value());
    ++expected;
  }
  const auto& parameter_count = manifest.at("parameter_count");
  expect(
      model + ": " + std::to_string(parameters) + " parameters, expected " + parameter_count.dump(),
      parameter_count == parameters);
}

}  // namespace gear::golden
