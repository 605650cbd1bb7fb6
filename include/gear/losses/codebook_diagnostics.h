#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "gear/core/tensor.h"

// T tokens, K codes

namespace gear::losses {

/// How sharp the assignment softmax(-cost / temperature) is. Float32 scalars without gradient.
struct AssignmentDiagnostics {
  Tensor entropy;                  ///< mean over tokens of H(p_t), in nats
  Tensor effective_size;           ///< exp(entropy): of the mean, not the mean of exp
  std::array<Tensor, 4> top_mass;  ///< probability of the likeliest 1, 10, 100, 1000 codes
};

/// One entry per temperature, from one pass over the costs in blocks of rows.
///   cost [T, K] float32
/// With K below 1000 the larger groups hold every code, and their mass is 1.
std::vector<AssignmentDiagnostics> assignment_diagnostics(const Tensor& cost,
                                                          const std::vector<double>& temperatures);

/// The diagnostics of several batches of equally many tokens, taken together: entropies and masses
/// average, and the effective size is that of the mean entropy.
AssignmentDiagnostics mean_of(const std::vector<AssignmentDiagnostics>& batches);

/// Share of the K codes that occur among `ids` (any shape, int64). Float32 scalar.
Tensor codebook_usage(const Tensor& ids, int64_t codebook_size);

/// The diagnostics of a logging step under their public names: of `natural`, at temperature 1,
/// codebook/natural_entropy_nats, codebook/effective_size and codebook/top{1,10,100,1000}_prob; of
/// `soft`, at the temperature of the soft read-out, soft/entropy_nats and so on.
std::vector<std::pair<std::string, Tensor>> assignment_metrics(const AssignmentDiagnostics& natural,
                                                               const AssignmentDiagnostics& soft);

}  // namespace gear::losses
