#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gear/train/checkpoint.h"
#include "gear/train/network_parts.h"
#include "gear/train/state.h"

namespace gear::train {

/// Weights of earlier stages. A checkpoint is verified once and a weight file read once, however
/// many networks come from it.
class InitialWeights {
 public:
  /// Copies weights of an earlier stage into the tensors of a module; of one that is a piece only
  /// its own elements are read.
  ///   source      a gear run folder (its newest checkpoint), a gear checkpoint folder, or a weight
  ///               file (see read_network_parts), also a training file of the Python reference
  ///   candidates  groups to look for, best first, for example {"tokenizer_ema", "tokenizer"}. A
  ///               weight file with only an averaged tokenizer gives that for "tokenizer"
  /// Returns where the weights came from, the file of a group or "x.pt (ar_ema)", or "" when the
  /// source has none of the candidates and `required` is false. Throws Error naming the first
  /// tensor that is missing or of another shape.
  std::string load(const TensorGroup& module, const std::filesystem::path& source,
                   const std::vector<std::string>& candidates, bool required);

 private:
  const std::optional<Checkpoint>& checkpoint_at(const std::filesystem::path& source);
  const NetworkParts& parts_at(const std::filesystem::path& source);

  std::map<std::filesystem::path, std::optional<Checkpoint>> checkpoints_;
  std::map<std::filesystem::path, NetworkParts> parts_;
};

}  // namespace gear::train
