#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gear/train/stored_run.h"

/// The two halves of `gear convert`: reading a run out of any format, writing it in another.
namespace gear::cli {

struct ConvertOptions {
  std::string source;
  std::string target;
  std::string format;              ///< "run", "safetensors", "pt"; "": by the target's extension
  std::vector<std::string> parts;  ///< groups to take; empty: all
  std::string config;              ///< YAML; "": what the source tells
  std::vector<std::string> overrides;  ///< --set
  std::string tokenizer;               ///< source of the tokenizer, for files without one
  uint64_t max_shard_size = 0;         ///< bytes; 0: one file
  bool force = false;
  bool names = false;
  bool verbose = false;
};

/// Something that did not go into the run as it stood in the source.
struct ConvertNote {
  std::string text;                  ///< "2 names ignored in vq"
  std::vector<std::string> names{};  ///< of tensors; shown in full by --verbose
};

struct ConvertSource {
  train::StoredRun run;
  std::vector<ConvertNote> notes;
};

/// Reads the source and compares every network with its configuration: names and shapes. Throws
/// Error naming the first tensor that is missing or does not fit.
ConvertSource read_source(const ConvertOptions& options);

/// "run", "safetensors" or "pt". Throws Error for a target whose name does not tell.
std::string target_format(const ConvertOptions& options);

/// Throws Error when something is there that must not be replaced.
void expect_free_target(const ConvertOptions& options, const std::string& format);

/// Writes the target whole or not at all, and says in `notes` what it has no place for.
void write_target(train::StoredRun run, const ConvertOptions& options, const std::string& format,
                  std::vector<ConvertNote>& notes);

/// JSON of the names, shapes and types of every network, and the shapes of what every optimizer
/// trains, by the keys of the Python reference.
std::string expected_names(const train::StoredRun& run);

/// What single safetensors files say about themselves in their metadata.
inline constexpr const char* kPartKey = "gear.part";
inline constexpr const char* kConfigKey = "gear.config";
inline constexpr const char* kStepKey = "gear.step";

}  // namespace gear::cli
