#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/io/safetensors.h"

namespace gear::train {

using io::NamedTensors;

/// Which elements of a tensor a rank holds when the tensor is divided among ranks.
struct Shard {
  std::vector<int64_t> shape;  ///< of the whole tensor
  int64_t offset = 0;          ///< of the first element held, in the whole one flattened row by row
  bool operator==(const Shard&) const = default;
};

/// Tensors that belong together in a checkpoint: one safetensors file. They share storage with the
/// live ones, so saving reads them and loading copies into them. Every rank lists the same names in
/// the same order.
struct TensorGroup {
  std::string name;  // "tokenizer", "tokenizer_ema", "ar", "ar_ema", "projector", "discriminator",
                     // "optimizer_tokenizer", ...
  NamedTensors tensors;
  /// Of those tensors that are pieces: such a tensor has one dimension and may be empty. A tensor
  /// without an entry is whole, and equal on all ranks.
  std::map<std::string, Shard> shards{};
  /// Of a module: names of what is not a parameter.
  std::set<std::string> buffers{};

  /// Of the whole tensor, in a checkpoint.
  at::IntArrayRef global_shape(const std::string& tensor_name, const Tensor& tensor) const;
};

/// Parameters and buffers of a module under their registered names.
TensorGroup module_group(const std::string& name, const torch::nn::Module& module);

}  // namespace gear::train
