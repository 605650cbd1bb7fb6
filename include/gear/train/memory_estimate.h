#pragma once

#include <cstdint>
#include <string>

#include "gear/train/run_config.h"

namespace gear::train {

/// Rough bytes a run needs on one process, told before anything is allocated. Parameters are
/// counted exactly (networks built without storage); activations follow from the shapes the
/// backward pass keeps and are right to about a third.
struct MemoryEstimate {
  double parameters = 0.0;   ///< weights, gradients, moments, averages; frozen networks too
  double activations = 0.0;  ///< one micro-batch of the largest update
  double total() const { return parameters + activations; }
};

MemoryEstimate estimate_memory(const RunConfig& config);

/// Of networks that the run uses without training them.
double frozen_bytes(const RunConfig& config);
/// What the backward pass of the largest update keeps of an image.
double activation_bytes_per_image(const RunConfig& config);

/// Throws Error when the estimate exceeds `available` bytes; the sentence says what to lower.
void expect_enough_memory(const RunConfig& config, double available);

}  // namespace gear::train
