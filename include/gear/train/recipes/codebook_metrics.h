#pragma once

#include <vector>

#include "gear/core/tensor.h"
#include "gear/dist/world.h"
#include "gear/losses/codebook_diagnostics.h"
#include "gear/models/tokenizers/quantizer.h"
#include "gear/train/recipe.h"
#include "gear/train/run_config.h"

// T tokens, K codes

namespace gear::train {

/// What the assignments of a whole step say about the codebook, over all its micro-batches and
/// ranks.
class CodebookMetrics {
 public:
  CodebookMetrics(const RunConfig& config, const StepContext& context, const dist::World& world);

  /// One micro-batch. A logging step also looks at the assignments at T = 1 and at the soft
  /// temperature, which costs another pass over the codebook (spec 00 section 5).
  void add(const models::Quantized& quantized);

  /// Adds codebook_usage; of a logging step also codebook/..., soft/... and temperature. A
  /// collective.
  void report(Metrics& metrics) const;

 private:
  const dist::World& world_;
  int64_t codebook_size_;
  double temperature_;
  bool diagnostics_;
  std::vector<Tensor> ids_;  // [T] each
  std::vector<ops::AssignmentDiagnostics> natural_, soft_;
};

}  // namespace gear::train
