#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gear/ops/readout.h"

namespace gear::losses {

using ops::AssignmentDiagnostics;

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
