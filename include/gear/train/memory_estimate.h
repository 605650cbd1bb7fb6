#pragma once

#include "gear/train/run_config.h"

namespace gear::train {

/// Of networks that the run uses without training them, counted exactly (built without storage).
double frozen_bytes(const RunConfig& config);
/// What the backward pass of the largest update keeps of an image: it follows from the shapes, and
/// is right to about a third.
double activation_bytes_per_image(const RunConfig& config);

}  // namespace gear::train
