#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/data/batch.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/metrics.h"

namespace gear::train {

/// Tensors that belong together in a checkpoint: one safetensors file. They share storage with the
/// live ones, so saving reads them and loading copies into them.
struct TensorGroup {
  std::string name;  // "tokenizer", "tokenizer_ema", "ar", "ar_ema", "projector", "discriminator",
                     // "optimizer_tokenizer", ...
  std::vector<std::pair<std::string, Tensor>> tensors;
};

/// What a step may know of the run around it.
struct StepContext {
  int64_t step = 0;          ///< optimizer updates already done
  bool diagnostics = false;  ///< a logging step: also compute the costly codebook diagnostics
};

/// Networks to sample from; EMA with EMA, live with live, never mixed. `ar` may be empty (tokenizer
/// recipe).
struct SamplingPair {
  std::shared_ptr<models::Tokenizer> tokenizer;
  models::ArModel ar{nullptr};
};

/// One kind of training run. A recipe owns networks, losses and optimizers of its step, and knows
/// nothing of files, rank folders or progress bars.
class Recipe {
 public:
  virtual ~Recipe() = default;

  /// One optimizer update from the micro-batches of a step, gradients averaged over them. Throws
  /// NonFiniteError, before any weight has changed, when a loss or gradient is NaN or infinite.
  virtual Metrics step(std::span<const data::Batch> micro_batches, const StepContext& context) = 0;

  /// Everything that must survive a restart.
  virtual std::vector<TensorGroup> state() = 0;

  virtual SamplingPair sampling_pair(bool ema) = 0;
};

/// A loss or gradient was NaN or infinite; the message names the first bad tensor.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

}  // namespace gear::train
