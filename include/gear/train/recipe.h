#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/data/batch.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/metrics.h"
#include "gear/train/nonfinite.h"
#include "gear/train/state.h"

namespace gear::train {

/// What a step may know of the run around it.
struct StepContext {
  int64_t step = 0;          ///< optimizer updates already done
  bool diagnostics = false;  ///< a logging step: also compute the costly codebook diagnostics
};

/// Networks to sample from; EMA with EMA, live with live, never mixed. `ar` may be empty (tokenizer
/// recipe), and so may `tokenizer` (a run on stored indices that was given none).
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
  /// NonFiniteError, before any weight has changed, when a loss or gradient is NaN or infinite; the
  /// next step then begins as if this one had not been.
  virtual Metrics step(std::span<const data::Batch> micro_batches, const StepContext& context) = 0;

  /// Everything that must survive a restart.
  virtual std::vector<TensorGroup> state() = 0;

  /// To be called when the tensors of state() have been changed from outside.
  virtual void state_loaded() {}

  virtual SamplingPair sampling_pair(bool ema) = 0;
  /// Around the use of a sampling pair. Where networks are divided among ranks all of them must use
  /// it, in the same way, by its forward passes: blocks come and go, their weights are not there
  /// otherwise.
  virtual void open_networks() {}
  virtual void close_networks() {}
};

}  // namespace gear::train
