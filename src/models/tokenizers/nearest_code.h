#pragma once

#include "gear/models/tokenizers/quantizer.h"

// B batch, h w token grid, T = B * h * w tokens, K codes, D code width

namespace gear::models {

/// Vector quantisation (arXiv:1711.00937): the nearest code by squared distance, straight-through
/// to `rows`, and in training the codebook, commitment and entropy losses.
///   z      [B, D, h, w], lends its shape and memory format to z_q
///   rows   [T, D] of z, as they are compared with codes
///   codes  [K, D] on the graph
///   world  ranks over whose tokens the average distribution is taken
Quantized quantize_to_nearest(const Tensor& z, const Tensor& rows, const Tensor& codes,
                              const QuantizerConfig& config, bool training,
                              const dist::World& world);

}  // namespace gear::models
