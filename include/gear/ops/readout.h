#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "gear/core/tensor.h"

// T tokens, K codes, P width of the product, D width of the table

namespace gear::ops {

/// Costs of tokens against codes as the factors of one product, cost[t, k] = <left[t], right[k]>.
/// Smaller is closer. Distances, signs and inner products of every codebook have this form.
struct Costs {
  Tensor left;   ///< [T, P] float32 or float64
  Tensor right;  ///< [K, P] same type

  /// All of them, [T, K] on the graph: for small K and tests.
  Tensor matrix() const;
  Costs detach() const;
};

/// What one pass over the costs is to find besides the hard read-out.
struct ReadoutOptions {
  /// tau of s = softmax(-cost / tau), which reads the table; needed with a table.
  double temperature = 0.0;
  /// Values of the hard read-out with the gradient of the soft one to the costs.
  bool straight_through = false;
  /// Round s and the table to bfloat16 for their product; sums stay float32.
  bool bfloat16_products = false;
  /// Of p = softmax(-cost / this), whose entropies are returned; 0: not wanted.
  double entropy_temperature = 0.0;
  /// Temperatures at which the sharpness of the assignment is measured.
  std::vector<double> diagnostics = {};
};

/// Numbers of codes whose joint probability is measured.
constexpr std::array<int64_t, 4> kTopCounts = {1, 10, 100, 1000};

/// How sharp the assignment softmax(-cost / temperature) is. Float32 scalars without gradient.
struct AssignmentDiagnostics {
  Tensor entropy{};                  ///< mean over tokens of H(p_t), in nats
  Tensor effective_size{};           ///< exp(entropy): of the mean, not the mean of exp
  std::array<Tensor, 4> top_mass{};  ///< probability of the likeliest 1, 10, 100, 1000 codes
};

/// Undefined where it was not asked for.
struct Readout {
  Tensor ids{};             ///< [T] int64, arg-min of the cost, the lowest of equals; no gradient
  Tensor lookup{};          ///< [T, D] s times the table, or table[ids] when straight-through
  Tensor sample_entropy{};  ///< scalar, mean over tokens of H(p_t), in nats
  Tensor mean_distribution{};                        ///< [K], mean over tokens of p_t
  std::vector<AssignmentDiagnostics> diagnostics{};  ///< one per temperature asked for
};

/// Reads a codebook. The costs are computed block by block, forward and again backward; no
/// [T, K] matrix exists at any time, and the largest block holds 8 MiB whatever K.
///   table  [K, D] of the type of the costs, or undefined: no lookup
/// lookup, sample_entropy and mean_distribution are differentiable in both factors of the costs,
/// lookup in the table too (straight-through: as an indexed table). Softmax and sums are taken in
/// the type of the costs, in an order that does not depend on the number of threads (the matrix
/// library may divide the sums of its products by threads).
/// Source: the soft read-out of arXiv:2606.32039; the entropies of arXiv:2310.05737.
Readout read_out(const Costs& costs, const Tensor& table, const ReadoutOptions& options);

}  // namespace gear::ops
