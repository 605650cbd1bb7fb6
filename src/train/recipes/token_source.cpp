#include "gear/train/recipes/token_source.h"

#include "gear/train/recipes/micro_batches.h"

namespace gear::train {
namespace {

void freeze(models::Tokenizer& tokenizer) {
  tokenizer.eval();
  set_trainable(tokenizer, false);
}

}  // namespace

TokenSource tokens_of_pictures(std::shared_ptr<models::Tokenizer> tokenizer) {
  freeze(*tokenizer);
  const auto encode = [tokenizer](const data::Batch& batch) {
    const at::NoGradGuard no_grad;
    return tokenizer->encode_ids(tokenizer_input(batch.images));
  };
  return {.tokens = encode, .tokenizer = tokenizer};
}

TokenSource stored_tokens(std::shared_ptr<models::Tokenizer> tokenizer) {
  if (tokenizer) freeze(*tokenizer);
  return {.tokens = [](const data::Batch& batch) { return batch.tokens; },
          .tokenizer = std::move(tokenizer)};
}

}  // namespace gear::train
