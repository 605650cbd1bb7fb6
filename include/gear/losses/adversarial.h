#pragma once

#include <cstdint>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/dist/world.h"

namespace gear::losses {

/// 0 before the discriminator's first step, `factor` from then on. Multiplies both adversarial
/// losses.
double discriminator_factor(int64_t step, int64_t start, double factor = 1.0);

/// -mean(logits of generated images), float32 scalar.
Tensor generator_loss(const Tensor& fake_logits);

/// Half the sum of mean relu(1 - real) and mean relu(1 + fake), float32 scalar. `fake_logits` are
/// those of detached reconstructions.
Tensor hinge_discriminator_loss(const Tensor& real_logits, const Tensor& fake_logits);

/// LeCam regulariser of the discriminator (arXiv:2104.03310) on moving averages of the mean logits.
/// It also runs before the discriminator's first step. The averages belong into checkpoints.
class LeCam {
 public:
  explicit LeCam(double decay, at::Device device = at::kCPU);

  /// relu(mean real - average fake)^2 + relu(average real - mean fake)^2 with the averages of the
  /// steps before. Float32 scalar, not weighted.
  Tensor operator()(const Tensor& real_logits, const Tensor& fake_logits);

  /// Ranks over whose logits the means are taken.
  void set_world(dist::World world) { world_ = std::move(world); }
  /// Ends a step: the averages take in the means since the last one, those of this rank or of all
  /// `ranks` in the order of their `passes` (see dist::in_pass_order).
  void commit(const dist::World& ranks = {}, int64_t passes = 1);
  void discard() { pending_.clear(); }  ///< of a step that came to nothing

  /// Averages, float32 [1], both 0 at first. They keep their storage, so aliases stay valid.
  Tensor real_average, fake_average;

 private:
  double decay_;
  dist::World world_;
  std::vector<Tensor> pending_;  // mean real and mean fake, [2] each
};

}  // namespace gear::losses
