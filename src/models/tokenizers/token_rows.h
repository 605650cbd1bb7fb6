#pragma once

#include "gear/models/tokenizers/quantizer.h"

// Steps that quantizers share.
// B batch, h w token grid, T = B * h * w tokens in (batch, row, column) order, K codes, D code
// width

namespace gear::models {

/// Latent [B, D, h, w] of any float type -> rows [T, D] in float32 (float64 stays). Throws Error
/// unless it has `dim` channels.
Tensor token_rows(const Tensor& z, int64_t dim);

/// Rows [T, D] -> latent with batch, grid and memory format of z [B, D, h, w].
Tensor as_latent(const Tensor& rows, const Tensor& z);

/// Rows divided by their length, and by 1e-12 where they are shorter.
Tensor unit_rows(const Tensor& rows);

/// `chosen` in value; its gradient passes to `rows` as it is.
Tensor straight_through(const Tensor& rows, const Tensor& chosen);

/// |r|^2 + |c|^2 - 2 <r, c> of rows [T, D] and codes [K, D].
ops::Costs squared_distances(const Tensor& rows, const Tensor& codes);

/// The hard read-out alone: the first minimum for each token, ids [T], without a graph.
Tensor nearest(const ops::Costs& costs);

/// The hard read-out, and the entropies when `training`.
ops::Readout read_codes(const ops::Costs& costs, const QuantizerConfig& config, bool training);

/// The entropy term of the loss and the entropies for the log; the other terms stay undefined.
/// One read-out for each group of an id; the entropies are the means over the groups. The average
/// distribution is that of all ranks of `world`.
QuantizerLosses entropy_losses(const std::vector<ops::Readout>& groups,
                               const QuantizerConfig& config, const dist::World& world);

}  // namespace gear::models
