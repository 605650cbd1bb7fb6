#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gear/io/weight_parts.h"

/// Which network tensors belong to, by their names and shapes. One file per kind of network.
namespace gear::cli {

struct NetworkGuess {
  /// "LlamaGen-B transformer: dim 768, depth 12, 16,384 codes"
  std::string text;
  /// Whose file looks like this: "DINOv2 hub file ViT-B/14"; "" where the layout does not tell.
  std::string file{};
  /// Keys of the configuration that make such a network: {"teacher.model", "dinov2-vit-b"}.
  std::vector<std::pair<std::string, std::string>> keys{};
  /// The key that takes the file: "teacher.weights"; "" where none does.
  std::string path_key{};
  /// What the configuration needs and the file does not tell; "" when it tells all.
  std::string untold{};
};

using OptionalGuess = std::optional<NetworkGuess>;

OptionalGuess guess_tokenizer(const io::WeightPart& part);
OptionalGuess guess_transformer(const io::WeightPart& part);
OptionalGuess guess_projector(const io::WeightPart& part);
OptionalGuess guess_teacher(const io::WeightPart& part);
OptionalGuess guess_perceptual(const io::WeightPart& part);  ///< VGG-16, LPIPS
OptionalGuess guess_discriminator(const io::WeightPart& part);
OptionalGuess guess_optimizer(const io::WeightPart& part);

/// The first of these that fits; "unknown network" when none does.
NetworkGuess guess_network(const io::WeightPart& part);

}  // namespace gear::cli
