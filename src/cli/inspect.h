#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/guess_network.h"
#include "cli/tensor_values.h"

/// The pieces of gear inspect: weight files, checkpoints and runs, each as text or as JSON.
namespace gear::cli {

struct InspectOptions {
  std::string path;
  bool tensors = false;  ///< list all names, types and shapes
  std::string match;     ///< list those with this text in their name
  bool values = true;    ///< read the values and count those that are no numbers
  bool hash = false;     ///< SHA-256 of the files
  bool json = false;
  bool verbose = false;  ///< also the settings that a file keeps, such as `args`
  std::string part;      ///< look at this part alone

  bool listing() const { return tensors || !match.empty(); }
};

/// One part of a weight file, or one group of a checkpoint, looked at.
struct InspectedPart {
  io::WeightPart part;
  NetworkGuess guess{};
  std::vector<NonFinite> nonfinite{};  ///< of each tensor; empty when values are not read

  int64_t numel() const;
  int64_t bytes() const;
  std::string dtypes() const;  ///< "F32, I64", in the order of their first tensors
  NonFinite all_nonfinite() const;
};

/// "F32"; what safetensors has no name for, as LibTorch calls it.
std::string dtype_text(at::ScalarType dtype);

/// Guesses the network of each part.
std::vector<InspectedPart> look_at(std::vector<io::WeightPart> parts);
/// Reads all values, one tensor after the other, and counts those that are no numbers; shows how
/// far it is when that takes long.
void read_values(std::vector<InspectedPart>& parts);

void print_parts(const std::vector<InspectedPart>& parts, const InspectOptions& options);
/// Names, types and shapes, or how to get them; throws Error when --match fits no name.
///   unasked  list them though neither --tensors nor --match is given
void print_tensors(const std::vector<InspectedPart>& parts, const InspectOptions& options,
                   bool unasked);
nlohmann::ordered_json parts_json(const std::vector<InspectedPart>& parts,
                                  const InspectOptions& options);

void print_json(const nlohmann::ordered_json& json);

/// A weight file, or a folder with one.
void inspect_weights(const InspectOptions& options);
/// A checkpoint folder of gear.
void inspect_checkpoint(const InspectOptions& options);
/// A run folder of gear, with its newest checkpoint.
void inspect_run(const InspectOptions& options);

bool is_checkpoint(const std::filesystem::path& path);
bool is_run(const std::filesystem::path& path);

/// Compares two files or folders of any kind, each "PATH" or "PATH#PART". Returns the exit code:
/// 0 when they hold the same tensors, 1 when they differ.
int inspect_difference(const std::string& first, const std::string& second,
                       const InspectOptions& options);

}  // namespace gear::cli
