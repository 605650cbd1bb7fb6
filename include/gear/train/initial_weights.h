#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gear/train/checkpoint.h"

namespace gear::train {

/// Weights of earlier stages. A checkpoint is verified once, however many networks come from it.
class InitialWeights {
 public:
  /// Copies weights of an earlier stage into `module`.
  ///   source      a gear run folder (its newest checkpoint), a gear checkpoint folder, or a weight
  ///               file
  ///   candidates  checkpoint groups to look for, best first, for example {"tokenizer_ema",
  ///               "tokenizer"}; of a weight file the matching part is taken
  /// Returns the group or file the weights came from, or "" when a gear checkpoint has none of the
  /// candidates and `required` is false. Throws Error naming the first tensor that is missing or of
  /// another shape.
  std::string load(torch::nn::Module& module, const std::filesystem::path& source,
                   const std::vector<std::string>& candidates, bool required);

 private:
  const std::optional<Checkpoint>& checkpoint_at(const std::filesystem::path& source);

  std::map<std::filesystem::path, std::optional<Checkpoint>> checkpoints_;
};

}  // namespace gear::train
