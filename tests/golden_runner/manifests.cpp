#include "golden_runner/manifests.h"

#include <array>
#include <fstream>

#include "gear/core/text.h"
#include "gear/nn/meta_scope.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/module_manifest.h"

namespace gear::golden {
namespace {

constexpr std::array<ManifestBuilder, 7> kBuilders = {
    build_manifest_tokenizer, build_manifest_llamagen, build_manifest_projector,
    build_manifest_dinov2,    build_manifest_dinov3,   build_manifest_clip,
    build_manifest_critics,
};

std::shared_ptr<torch::nn::Module> build(const nlohmann::json& config) {
  const nn::MetaScope meta;
  for (const ManifestBuilder builder : kBuilders) {
    if (auto module = builder(config.value("model", std::string()), config)) return module;
  }
  return nullptr;
}

}  // namespace

Outcome check_manifests(const Case& golden, Report& report) {
  const auto& models = golden.json().at("models");
  std::vector<std::string> missing;
  for (const auto& [model, counts] : models.items()) {
    std::ifstream stream(golden.folder() / (model + ".json"));
    const auto manifest = nlohmann::ordered_json::parse(stream);
    if (const auto module = build(manifest.at("config"))) {
      compare_with_manifest(model, manifest, *module, [&](const std::string& what, bool agrees) {
        report.expect(what, agrees);
      });
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
