#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "gear/core/tensor.h"
#include "gear/dist/world.h"

// B batch, C channels, H W pixels

namespace gear::nn {

/// Batch normalisation of images by the statistics of the batch (arXiv:1502.03167), over all ranks
/// of a world if it is given one; in eval mode by the running statistics. Those change only in
/// commit(), so that a pass that came to nothing leaves no trace. Registered names: weight, bias,
/// running_mean, running_var, num_batches_tracked.
struct BatchNorm2dImpl : torch::nn::Module {
  explicit BatchNorm2dImpl(int64_t channels, double eps = 1e-5, double momentum = 0.1);

  Tensor forward(const Tensor& x);  // [B, C, H, W], same out

  /// Ranks whose batches count as one; each must have the same number of samples.
  void set_world(dist::World world) { world_ = std::move(world); }

  /// Takes the statistics of the batches since the last commit into the running ones: those of this
  /// rank, or of all `ranks` in the order of their `passes` (see dist::in_pass_order).
  void commit(const dist::World& ranks = {}, int64_t passes = 1);
  void discard() { pending_.clear(); }

  Tensor weight, bias;               // [C]
  Tensor running_mean, running_var;  // [C]
  Tensor num_batches_tracked;        // [] int64

 private:
  double eps_, momentum_;
  dist::World world_;
  std::vector<Tensor> pending_;  // mean and unbiased variance of each batch, [2, C]
};
TORCH_MODULE(BatchNorm2d);

}  // namespace gear::nn
