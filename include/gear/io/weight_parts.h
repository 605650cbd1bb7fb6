#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gear::io {

/// A tensor of a weight file; its values are read when they are asked for.
struct StoredTensor {
  std::string name;
  std::vector<int64_t> shape;
  at::ScalarType dtype = at::kFloat;
  std::function<at::Tensor()> values{};  ///< a CPU tensor over the mapped file

  int64_t numel() const;
  int64_t bytes() const { return numel() * static_cast<int64_t>(c10::elementSize(dtype)); }
};

/// Tensors that belong together. The name is the key at the top of a torch file ("vq_ema"), or ""
/// for tensors that stand at the top themselves. A Lightning file has up to three parts:
/// "state_dict", the live weights; "state_dict/model_ema", their EMA shadows under the names of the
/// live weights; "state_dict/loss", the networks of the loss. In a folder of folders the name
/// begins with that of the folder: "tokenizer_ema", "tokenizer_ema/vq".
struct WeightPart {
  std::string name;
  std::vector<StoredTensor> tensors{};
};

/// Names and values for people, in the order of the file.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// What a weight file holds, for looking at it rather than for loading it.
struct WeightFile {
  std::vector<std::filesystem::path> files;  ///< an index comes before its shards
  std::string format;  ///< "safetensors", "torch.save", "TorchScript", "sharded weights",
                       ///< "folders of weights"
  std::vector<WeightPart> parts{};
  /// Where it comes from: the container, metadata, and what stands beside the tensors at the top
  /// ("epoch", "3"; "callbacks", "a dictionary").
  Facts facts{};
  /// Dictionaries of plain values at the top, such as `args` and `hyper_parameters`.
  std::vector<std::pair<std::string, Facts>> settings{};

  /// The value of a fact; nullptr when there is none of this name.
  const std::string* fact(const std::string& name) const;
  bool has_settings(const std::string& name) const;
};

struct WeightFileOptions {
  bool check_values = true;  ///< see TorchArchiveOptions
};

/// Reads the structure of a weight file of any format that load_tensors knows, of a folder with
/// one, or of a folder with such a folder for each network, as gear convert writes them. Names stay
/// as the file has them, wrappers of torch.compile included. Throws Error that says what the file
/// is instead.
WeightFile open_weight_file(const std::filesystem::path& path,
                            const WeightFileOptions& options = {});

/// `name` without `_orig_mod.` components and leading `module.`, as load_tensors gives it.
std::string plain_weight_name(std::string name);

}  // namespace gear::io
