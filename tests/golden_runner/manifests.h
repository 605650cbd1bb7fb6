#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace gear::golden {

// One builder per model family, each in full_<family>.cpp or manifest_<family>.cpp and listed in
// manifests.cpp. `config` is that of the manifest and `model` its "model" ("VQ-16"), "" where there
// is none. A builder returns nothing when they are not of its family. It runs inside nn::MetaScope:
// the network has no storage.
using ManifestBuilder = std::shared_ptr<torch::nn::Module> (*)(const std::string& model,
                                                               const nlohmann::json& config);

std::shared_ptr<torch::nn::Module> build_manifest_tokenizer(const std::string& model,
                                                            const nlohmann::json& config);
std::shared_ptr<torch::nn::Module> build_manifest_llamagen(const std::string& model,
                                                           const nlohmann::json& config);
std::shared_ptr<torch::nn::Module> build_manifest_projector(const std::string& model,
                                                            const nlohmann::json& config);
std::shared_ptr<torch::nn::Module> build_manifest_dinov2(const std::string& model,
                                                         const nlohmann::json& config);
std::shared_ptr<torch::nn::Module> build_manifest_dinov3(const std::string& model,
                                                         const nlohmann::json& config);
std::shared_ptr<torch::nn::Module> build_manifest_clip(const std::string& model,
                                                       const nlohmann::json& config);
// PatchGAN and LPIPS
std::shared_ptr<torch::nn::Module> build_manifest_critics(const std::string& model,
                                                          const nlohmann::json& config);

}  // namespace gear::golden
