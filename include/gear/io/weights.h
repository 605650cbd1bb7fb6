#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace gear::io {

using TensorMap = std::map<std::string, at::Tensor>;

/// Which part of a checkpoint is meant.
struct LoadOptions {
  /// Top-level keys of a torch file, the first one present is taken. A file with none of them is
  /// read as the bare map, unless `accept_bare` is off.
  std::vector<std::string> sections = {"state_dict", "model"};
  bool accept_bare = true;
};

/// Sections in the order in which official files carry a tokenizer: Lightning's `state_dict`, then
/// `vq_ema` (when `prefer_ema`) and `vq` of training files, then `model` of LlamaGen releases.
/// Lightning files give their EMA shadows wherever they have them, with either setting.
LoadOptions tokenizer_sections(bool prefer_ema = true);

/// The transformer: `ema` (when `prefer_ema`), `ar`, `model`, `module`, `state_dict`, `ema`.
LoadOptions ar_sections(bool prefer_ema = true);

/// One part only, such as "discriminator" or "projectors"; a file without it is an Error.
LoadOptions section(const std::string& name);

/// The tensors of a weight file by name. The content decides how it is read, never its extension:
/// safetensors; torch.save of either format; torch.jit.save; a sharded index (.index.json) or a
/// folder holding one of these. `_orig_mod.` (torch.compile) and a leading `module.` (data
/// parallel) are removed from each name. Of a Lightning state_dict come the weights of the model:
/// shadows `model_ema.<name without dots>` replace the live tensors, bookkeeping and `loss.*` are
/// left out. Anything else (empty, a Git LFS pointer, a web page, ...) is an Error that says what
/// it is.
TensorMap load_tensors(const std::filesystem::path& path, const LoadOptions& options = {});

struct AssignOptions {
  std::string prefix = {};  ///< only names that begin with it are used, without it
  /// Beginnings of registered names that may be missing and then keep their value.
  std::vector<std::string> may_be_missing = {};
};

struct AssignReport {
  std::vector<std::string> unused;  ///< names in the file that the module has no place for
  std::vector<std::string> kept;    ///< registered names that keep their value
};

/// Copies tensors into the parameters and buffers of `module` by registered name, converting to
/// the dtype and device found there. Everything is checked before anything is copied: a missing
/// parameter (missing buffers are reported), another shape, or floating point for an integer
/// buffer is an Error that begins with `source`. What is left out below the prefix is logged.
AssignReport assign_weights(torch::nn::Module& module, const TensorMap& tensors,
                            const std::string& source, const AssignOptions& options = {});

}  // namespace gear::io
