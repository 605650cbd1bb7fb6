#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gear::cli {

/// A tensor of a weight file, without its values.
struct TensorEntry {
  std::string name;
  std::vector<int64_t> shape;
  at::ScalarType dtype = at::kFloat;

  int64_t numel() const;
  int64_t bytes() const { return numel() * static_cast<int64_t>(c10::elementSize(dtype)); }
};

/// Tensors that belong together: a whole safetensors file, or one top-level key of a torch file.
struct TensorList {
  std::string name;  ///< the key, "" for tensors at the top
  std::vector<TensorEntry> entries;

  int64_t numel() const;
  int64_t bytes() const;
  std::string dtypes() const;  ///< "F32, I64", in the order of their first tensors
};

/// A weight file as far as its header tells; values are not read.
struct WeightFile {
  std::string format;  ///< "safetensors", "torch.save", "sharded weights"
  std::vector<TensorList> lists;
};

/// Reads a weight file or a folder with one. Throws Error that says what the file is instead.
WeightFile list_tensors(const std::filesystem::path& path);

/// The network that these tensors belong to, by their names and shapes: "LlamaGen transformer: dim
/// 768, depth 12, 16,384 codes"; "unknown network" when none of the known ones has such names.
std::string guess_network(const TensorList& list);

}  // namespace gear::cli
