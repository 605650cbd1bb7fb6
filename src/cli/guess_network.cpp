#include "cli/guess_network.h"

#include <algorithm>
#include <array>

#include "gear/core/text.h"

namespace gear::cli {

OptionalGuess guess_optimizer(const io::WeightPart& part) {
  const auto moments =
      std::count_if(part.tensors.begin(), part.tensors.end(), [](const io::StoredTensor& tensor) {
        return tensor.name.starts_with("exp_avg.") || tensor.name.ends_with("/exp_avg");
      });
  if (moments == 0) return std::nullopt;
  return NetworkGuess{.text = "Adam moments of " + format_count(moments) + " parameters"};
}

NetworkGuess guess_network(const io::WeightPart& part) {
  using Guess = OptionalGuess (*)(const io::WeightPart&);
  constexpr std::array<Guess, 7> kGuesses = {
      guess_optimizer,  guess_tokenizer, guess_transformer,  guess_teacher,
      guess_perceptual, guess_projector, guess_discriminator};
  for (const Guess guess : kGuesses) {
    if (const OptionalGuess found = guess(part)) return *found;
  }
  return {.text = "unknown network"};
}

}  // namespace gear::cli
