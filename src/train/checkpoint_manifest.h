#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gear/train/checkpoint.h"

namespace gear::train {

inline constexpr int64_t kCheckpointFormat = 1;
inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kManifestSumName = "manifest.sha256";
inline constexpr const char* kConfigName = "config.yaml";

/// Writes manifest.json and manifest.sha256 for the files that stand in `folder` already.
void write_manifest(const std::filesystem::path& folder, const RunPosition& position,
                    const std::vector<TensorGroup>& groups);

/// Reads manifest.json after comparing it with manifest.sha256; checks the format version.
nlohmann::json read_checked_manifest(const std::filesystem::path& folder);

}  // namespace gear::train
