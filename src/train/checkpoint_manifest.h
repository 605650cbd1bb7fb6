#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gear/train/checkpoint.h"
#include "train/save_plan.h"

namespace gear::train {

inline constexpr int64_t kCheckpointFormat = 2;
inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kManifestSumName = "manifest.sha256";
inline constexpr const char* kConfigName = "config.yaml";

/// Bytes of a file that a rank has written.
struct WrittenPart {
  int64_t rank = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::string sha256;
};

/// What a manifest tells besides what the plan of the save does.
struct ManifestContent {
  RunPosition position;
  int64_t world_size = 1;
  std::string shard_mode;
  std::vector<std::vector<WrittenPart>> parts;  // of each file of the plan, by rising offset
};

/// Writes manifest.json and manifest.sha256 for the files of `plan` and config.yaml, which stand in
/// `folder` already.
void write_manifest(const std::filesystem::path& folder, const SavePlan& plan,
                    const ManifestContent& content);

struct CheckedManifest {
  nlohmann::json json;
  std::string sha256;
};

/// Reads manifest.json after comparing it with manifest.sha256; checks the format version.
CheckedManifest read_checked_manifest(const std::filesystem::path& folder);

}  // namespace gear::train
