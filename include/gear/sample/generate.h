#pragma once

#include <cstdint>
#include <functional>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_decoder.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/sample/filter.h"
#include "gear/sample/text_prompt.h"

// B images, L tokens per image, K codes, S image side

namespace gear::sample {

/// How tokens are drawn. Image i of a call has the number first_image + i; its random numbers
/// depend on (seed, token position, image number) alone, so the same seed gives the same pictures
/// however they are divided into batches.
struct SampleOptions {
  double cfg = 1.0;           ///< guidance scale; 1 or less: none
  int64_t cfg_interval = -1;  ///< n >= 0: guide tokens 0..n + 1 only; -1: all
  double temperature = 1.0;
  int64_t top_k = 0;
  double top_p = 1.0;
  bool greedy = false;  ///< the most probable code instead of a draw
  uint64_t seed = 0;
  int64_t first_image = 0;
};

/// Sees the logits [B, K] from which the token at `position` is drawn, after guidance and before
/// temperature.
using LogitsObserver = std::function<void(int64_t position, const Tensor& logits)>;

/// Tokens [B, L] int64 for labels [B] int64, in eval mode and without gradients; the network's mode
/// is restored. Throws Error for labels that do not exist and for guidance of a network without a
/// null class.
Tensor generate_tokens(const models::ArDecoder& ar, const Tensor& labels,
                       const SampleOptions& options, const LogitsObserver& observer = {});

/// The same for captions. Throws Error for a network without text, for features that do not fit it,
/// and for guidance without the empty text or with a validity on one side alone.
Tensor generate_tokens(const models::ArDecoder& ar, const TextPrompt& prompt,
                       const SampleOptions& options, const LogitsObserver& observer = {});

/// Tokens [B, L] of a square grid -> pictures uint8 [B, 3, S, S].
Tensor tokens_to_images(models::Tokenizer& tokenizer, const Tensor& tokens);

}  // namespace gear::sample
