#include "golden_runner/critics_support.h"

#include "gear/core/error.h"
#include "golden_runner/manifests.h"

namespace gear::golden {

models::PatchGanConfig patch_gan_config_from(const nlohmann::json& config) {
  models::PatchGanConfig result;
  result.ndf = config.value("ndf", result.ndf);
  result.layers = config.value("n_layers", result.layers);
  const auto norm = config.value("norm_type", std::string("batch"));
  if (norm != "batch" && norm != "group") fail("case.json: unknown norm_type ", norm);
  result.norm = norm == "group" ? models::CriticNorm::kGroup : models::CriticNorm::kBatch;
  return result;
}

models::LpipsConfig lpips_config_from(const nlohmann::json& config) {
  models::LpipsConfig result;
  for (int64_t& channels : result.channels) channels /= config.value("channel_divisor", int64_t{1});
  return result;
}

std::shared_ptr<torch::nn::Module> build_manifest_critics(const std::string& model,
                                                          const nlohmann::json& config) {
  if (model == "NLayerDiscriminator") return models::PatchGan(patch_gan_config_from(config)).ptr();
  if (model.starts_with("LPIPS")) return models::Lpips(lpips_config_from(config)).ptr();
  return nullptr;
}

}  // namespace gear::golden
