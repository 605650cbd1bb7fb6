#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gear/train/checkpoint.h"
#include "gear/train/network_parts.h"
#include "gear/train/run_config.h"
#include "gear/train/state.h"

namespace gear::cli {

/// Networks and optimizers as they stand in the source, not yet compared with a configuration.
struct ConvertContents {
  train::NetworkParts parts;
  std::vector<train::TensorGroup> others;  ///< optimizers, lecam
  std::optional<train::RunConfig> config;  ///< what the source tells, if asked
  train::RunPosition position;
  std::vector<std::string> left_out;  ///< names that are no network's
};

/// Reads a run, a checkpoint or weights of any format. `with_config`: also what the source tells
/// about its configuration.
ConvertContents read_contents(const std::filesystem::path& path, bool with_config);

}  // namespace gear::cli
