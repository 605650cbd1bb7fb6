#pragma once

#include <cstdint>
#include <optional>

#include "gear/core/tensor.h"
#include "gear/data/loader.h"
#include "gear/dist/world.h"
#include "gear/models/tokenizers/tokenizer.h"

// B images, S image side

namespace gear::eval {

/// How near reconstructions are to their pictures (spec 06 section 4). Pixels in [0, 1]; all
/// float64.
struct ReconstructionScores {
  Tensor l1;    // [B] mean absolute difference
  Tensor psnr;  // [B] dB: 20 log10(1 / sqrt(max(mse, 1e-12)))
  Tensor
      ssim;  // [B] scikit-image defaults: uniform 7 x 7 window, sample covariance, border cut off
};

/// images, reconstructions  [B, 3, H, W] in [-1, 1]; reconstructions are clamped here.
ReconstructionScores reconstruction_scores(const Tensor& images, const Tensor& reconstructions);

/// Means over distinct images of a held-out set.
struct ReconstructionSummary {
  int64_t images = 0;
  double l1 = 0.0;
  double psnr = 0.0;
  double ssim = 0.0;
};

/// Runs the tokenizer in eval mode (its mode is restored) over the set from its start, at most
/// `max_images` (0: all). A tokenizer that is divided among ranks needs them all, each with a
/// loader of the whole set; `world` is theirs, and what fails
/// while one of them reads fails on all.
ReconstructionSummary measure_reconstruction(models::Tokenizer& tokenizer,
                                             data::ValidationLoader& loader, int64_t max_images,
                                             const dist::World& world = {});

}  // namespace gear::eval
