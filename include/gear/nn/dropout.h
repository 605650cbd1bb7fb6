#pragma once

#include <cstdint>
#include <vector>

#include "gear/core/tensor.h"

// B batch

namespace gear::nn {

/// While it lives, dropout and stochastic depth draw for row b of a batch from seeds[b] and the
/// number of the draw, so that a sample loses the same values whatever else is in its batch and
/// whichever rank it is on. One scope lives at a time in a process; a backward pass that computes a
/// segment again must stand inside it.
class SampleDrawsScope {
 public:
  explicit SampleDrawsScope(std::vector<uint64_t> seeds);
  ~SampleDrawsScope();
  SampleDrawsScope(const SampleDrawsScope&) = delete;
  SampleDrawsScope& operator=(const SampleDrawsScope&) = delete;
};

/// Number of the next draw in the scope, 0 without one. To be set back by what computes again.
uint32_t next_draw();
void set_next_draw(uint32_t number);

/// Dropout (arXiv:1207.0580): in training each value of x [B, ...] is set to 0 with `probability`
/// and the others are scaled by 1 / (1 - probability). Draws from the scope of the samples or,
/// where there is none, from the global generator.
Tensor dropout(const Tensor& x, double probability, bool training);

/// Stochastic depth (arXiv:1603.09382): the same for whole rows of a residual branch [B, ...].
Tensor drop_path(const Tensor& branch, double probability, bool training);

}  // namespace gear::nn
