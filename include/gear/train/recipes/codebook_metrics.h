#pragma once

#include <vector>

#include "gear/core/tensor.h"
#include "gear/train/metrics.h"

// T tokens, K codes

namespace gear::train {

/// Share of the codebook that the hard indices of a whole step use, over all its micro-batches.
class CodebookUsage {
 public:
  explicit CodebookUsage(int64_t codebook_size) : codebook_size_(codebook_size) {}

  void add(const Tensor& ids) { ids_.push_back(ids.detach().flatten()); }
  void report(Metrics& metrics) const;  ///< adds codebook_usage

 private:
  int64_t codebook_size_;
  std::vector<Tensor> ids_;
};

/// Adds the assignment diagnostics at T = 1 (codebook/...) and at the soft temperature (soft/...),
/// which cost two softmaxes over all codes (spec 00 section 5).
///   cost [T, K]
void add_diagnostics(Metrics& metrics, const Tensor& cost, double temperature);

}  // namespace gear::train
