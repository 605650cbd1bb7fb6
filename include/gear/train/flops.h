#pragma once

#include "gear/train/run_config.h"

namespace gear::train {

/// Rough floating-point operations of a training step for one image, forward and backward, counted
/// from the shapes of its matrix products and convolutions. Right to about a third.
double flops_per_image(const RunConfig& config);

}  // namespace gear::train
