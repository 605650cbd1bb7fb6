#include "golden_runner/manifests.h"

#include <array>
#include <fstream>

#include "gear/core/tensor.h"
#include "gear/core/text.h"
#include "gear/nn/meta_scope.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {
namespace {

constexpr std::array<ManifestBuilder, 7> kBuilders = {
    build_manifest_tokenizer, build_manifest_llamagen, build_manifest_projector,
    build_manifest_dinov2,    build_manifest_dinov3,   build_manifest_clip,
    build_manifest_critics,
};

struct Entry {
  std::string name;
  at::Tensor tensor;
  bool is_parameter;
};

/// In the order of a Python state_dict: a module's parameters, its buffers, then its children.
void list_entries(const torch::nn::Module& module, const std::string& prefix,
                  std::vector<Entry>& entries) {
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

std::shared_ptr<torch::nn::Module> build(const nlohmann::json& config) {
  const nn::MetaScope meta;
  for (const ManifestBuilder builder : kBuilders) {
    if (auto module = builder(config.value("model", std::string()), config)) return module;
  }
  return nullptr;
}

void compare(const std::string& model, const nlohmann::ordered_json& manifest,
             const torch::nn::Module& module, Report& report) {
  std::vector<Entry> entries;
  list_entries(module, "", entries);
  const auto& tensors = manifest.at("tensors");
  const auto count = "tensor_count";
  report.expect(model + ": " + std::to_string(entries.size()) + " tensors, expected " +
                    manifest.at(count).dump(),
                manifest.at(count) == entries.size() && tensors.size() == entries.size());

  int64_t parameters = 0;
  auto expected = tensors.begin();
  for (const Entry& entry : entries) {
    if (entry.is_parameter) parameters += entry.tensor.numel();
    if (expected == tensors.end()) continue;
    const auto dtype = entry.tensor.scalar_type() == at::kLong ? "int64" : "float32";
    const auto found = nlohmann::ordered_json::array(
        {entry.tensor.sizes().vec(), dtype, entry.is_parameter ? "parameter" : "buffer"});
    report.expect(model + ": " + entry.name + " " + found.dump() + ", expected " + expected.key() +
                      " " + expected.value().dump(),
                  entry.name == expected.key() && found == expected.value());
    ++expected;
  }
  report.expect(model + ": " + std::to_string(parameters) + " parameters, expected " +
                    manifest.at("parameter_count").dump(),
                manifest.at("parameter_count") == parameters);
}

}  // namespace

Outcome check_manifests(const Case& golden, Report& report) {
  const auto& models = golden.json().at("models");
  std::vector<std::string> missing;
  for (const auto& [model, counts] : models.items()) {
    std::ifstream stream(golden.folder() / (model + ".json"));
    const auto manifest = nlohmann::ordered_json::parse(stream);
    if (const auto module = build(manifest.at("config"))) {
      compare(model, manifest, *module, report);
    } else {
      missing.push_back(model);
    }
  }
  if (missing.empty() || !report.passed()) return {};
  const size_t built = models.size() - missing.size();
  return {.handled = false,
          .not_built = std::to_string(built) + " of " + std::to_string(models.size()) +
                       " models agree, not built: " + join(missing)};
}

}  // namespace gear::golden
