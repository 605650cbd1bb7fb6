#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/losses/adversarial.h"
#include "gear/models/critics/lpips.h"
#include "gear/models/critics/patch_gan.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/adamw.h"
#include "gear/train/ema.h"
#include "gear/train/recipe.h"
#include "gear/train/recipes/micro_batches.h"
#include "gear/train/run_config.h"
#include "gear/train/sharding/sharded_network.h"

// B batch, S image side

namespace gear::train {

/// Networks of the tokenizer side. `lpips` and `discriminator` may be empty: their loss weight is
/// 0.
struct TokenizerNetworks {
  std::shared_ptr<models::Tokenizer> tokenizer;
  std::shared_ptr<models::Tokenizer> tokenizer_ema;  // same shape; becomes a copy of `tokenizer`
  models::Lpips lpips{nullptr};
  models::PatchGan discriminator{nullptr};
};

/// The tokenizer with its critics, losses and optimizers: updates (1) and (2) of a step (spec 00
/// section 3). The recipes `tokenizer` and `gear` share it; only `gear` brings an alignment loss.
class TokenizerLearner {
 public:
  TokenizerLearner(TokenizerNetworks networks, const RunConfig& config, Parallel parallel = {});

  /// Around the passes of a micro-batch, which must all stand between the two.
  void begin_pass(const Pass& pass);
  void finish_pass();

  /// images [B, 3, S, S] in [-1, 1]; train mode, under the configured precision.
  models::Tokenized forward(const Tensor& images);

  /// Gradients of update (1): reconstruction, LPIPS, adversarial and quantizer losses, plus
  /// align_tokenizer times `alignment`, the loss of the soft read-out (undefined where there is
  /// none; with weight 0 only logged). The discriminator is frozen but in train mode. Every
  /// gradient is multiplied by `scale`.
  Metrics backward(const Tensor& images, const models::Tokenized& tokenized,
                   const Tensor& alignment, const StepContext& context, double scale);

  /// Gradients of update (2): hinge loss of the discriminator on the same reconstruction.
  Metrics backward_discriminator(const Tensor& images, const Tensor& reconstruction,
                                 const StepContext& context, double scale);

  /// Sums the gradients over passes and ranks, clips them and checks them and the losses; throws
  /// NonFiniteError, on all ranks. Changes no weight.
  Metrics clip();
  /// Applies both optimizers and the moving average, then clears the gradients.
  Metrics update(const StepContext& context);

  /// Forgets losses, gradients and statistics of a step that ends without an update.
  void discard_step();

  std::vector<TensorGroup> state();
  void state_loaded();
  /// Around the use of network() outside of a pass.
  void open_networks();
  void close_networks();
  std::vector<NamedParameter> parameters() const;  ///< of the tokenizer, then the discriminator
  std::shared_ptr<models::Tokenizer> network(bool ema) const;

 private:
  // Weighted terms of the loss of update (1); each adds its metrics.
  Tensor pixel_loss(const Tensor& images, const Tensor& reconstruction, Metrics& metrics) const;
  Tensor perceptual_loss(const Tensor& images, const Tensor& reconstruction, Metrics& metrics);
  Tensor gan_loss(const Tensor& reconstruction, const StepContext& context, Metrics& metrics);
  Tensor quantizer_loss(const models::QuantizerLosses& terms, Metrics& metrics) const;

  /// Factor of both adversarial losses at this step.
  double gan_factor(const StepContext& context) const;

  dist::World statistics_world() const;
  void commit_statistics();

  TokenizerNetworks networks_;
  const RunConfig config_;
  const Parallel parallel_;
  ShardedNetwork tokenizer_, tokenizer_ema_;
  std::optional<ShardedNetwork> discriminator_;
  LossCheck losses_;
  int64_t passes_ = 0;  // of this step
  AdamW tokenizer_optimizer_;
  AdamW discriminator_optimizer_;
  Ema ema_;
  losses::LeCam lecam_;
};

}  // namespace gear::train
