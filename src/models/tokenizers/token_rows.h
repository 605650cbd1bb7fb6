#pragma once

#include <functional>

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

/// |r|^2 + |c|^2 - 2 <r, c> of rows [T, D] and codes [K, D]: [T, K].
Tensor squared_distances(const Tensor& rows, const Tensor& codes);

/// First minimum of `cost_of(block)` [n, K] for each row, block by block: ids [T], and no [T, K]
/// matrix at any time.
Tensor argmin_by_blocks(const Tensor& rows, int64_t num_codes,
                        const std::function<Tensor(const Tensor&)>& cost_of);

/// The entropy term of the loss and the entropies for the log, of cost [T, K] or [T, G, K]; the
/// other terms stay undefined.
QuantizerLosses entropy_losses(const Tensor& cost, const QuantizerConfig& config);

}  // namespace gear::models
