#pragma once

#include <cstdint>
#include <functional>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_decoder.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/sample/generate.h"

namespace gear::sample {

/// Called after every batch with the number of finished pictures.
using SampleProgress = std::function<void(int64_t done, int64_t total)>;

/// Pictures uint8 [N, 3, S, S] on the CPU for labels [N] int64, `batch_size` at a time. Take
/// tokenizer and transformer from the same side of a checkpoint: both averaged, or neither.
Tensor sample_images(models::Tokenizer& tokenizer, const models::ArDecoder& ar,
                     const Tensor& labels, const SampleOptions& options, int64_t batch_size,
                     const SampleProgress& progress = {});

}  // namespace gear::sample
