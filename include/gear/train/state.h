#pragma once

#include <torch/nn/module.h>

#include <string>

#include "gear/core/tensor.h"
#include "gear/io/safetensors.h"

namespace gear::train {

using io::NamedTensors;

/// Tensors that belong together in a checkpoint: one safetensors file. They share storage with the
/// live ones, so saving reads them and loading copies into them.
struct TensorGroup {
  std::string name;  // "tokenizer", "tokenizer_ema", "ar", "ar_ema", "projector", "discriminator",
                     // "optimizer_tokenizer", ...
  NamedTensors tensors;
};

/// Parameters and buffers of a module under their registered names.
TensorGroup module_group(const std::string& name, const torch::nn::Module& module);

}  // namespace gear::train
