#pragma once

#include <functional>
#include <memory>

#include "gear/core/tensor.h"
#include "gear/data/batch.h"
#include "gear/models/tokenizers/tokenizer.h"

// B batch, N tokens per image

namespace gear::train {

/// Where the recipe `ar` gets its tokens from. It does not know whether they are computed from the
/// pictures of a batch or stand in it.
struct TokenSource {
  std::function<Tensor(const data::Batch&)> tokens;  ///< [B, N] int64, no gradient
  /// The frozen tokenizer that the tokens belong to, for samples; may be empty with stored tokens.
  std::shared_ptr<models::Tokenizer> tokenizer;
};

/// Encodes the pictures of each batch in float32: the same indices as in evaluation and sampling.
/// Puts the tokenizer in eval mode and freezes it.
TokenSource tokens_of_pictures(std::shared_ptr<models::Tokenizer> tokenizer);

/// The tokens that the batch holds. `tokenizer` is the one that encoded them, or empty.
TokenSource stored_tokens(std::shared_ptr<models::Tokenizer> tokenizer);

}  // namespace gear::train
