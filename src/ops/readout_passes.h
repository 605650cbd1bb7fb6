#pragma once

#include "gear/ops/readout.h"
#include "ops/readout_kernels.h"

// T tokens, K codes, P width of the product, D width of the table

namespace gear::ops {

/// Softmax statistics of all tokens, kept from the forward to the backward pass: a few numbers per
/// token.
struct TokenStatistics {
  Tensor ids{};                 // [T] int64
  Tensor lowest{};              // [T]
  Tensor lookup_normaliser{};   // [T] at the temperature of the lookup
  Tensor entropy_normaliser{};  // [T] at that of the entropies
  Tensor entropy{};             // [T] at that of the entropies
  Tensor mean_distribution{};   // [K]
  std::vector<AssignmentDiagnostics> diagnostics{};
};

/// First pass: everything that whole rows of costs tell, in blocks of rows.
TokenStatistics measure(const Costs& costs, const ReadoutOptions& options);

/// Second pass, in tiles: s times the table, [T, D].
Tensor soft_lookup(const Costs& costs, const Tensor& table, const TokenStatistics& statistics,
                   const ReadoutOptions& options);

/// What arrives at the outputs of the read-out; undefined: nothing.
struct ReadoutGradient {
  Tensor lookup{};             // [T, D]
  Tensor expected{};           // [T], sum over k of s_tk * <lookup_t, table_k>
  Tensor sample_entropy{};     // scalar
  Tensor mean_distribution{};  // [K]
};

struct FactorGradients {
  Tensor left{};   // [T, P]
  Tensor right{};  // [K, P]
  Tensor table{};  // [K, D], undefined unless asked for
};

/// Third pass, in tiles, with the costs computed again: gradients of all inputs.
FactorGradients propagate(const Costs& costs, const Tensor& table,
                          const TokenStatistics& statistics, const ReadoutGradient& upstream,
                          const ReadoutOptions& options, bool needs_table);

}  // namespace gear::ops
