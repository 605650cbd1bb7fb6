#include "gear/models/tokenizers/quantizer.h"

#include "gear/models/tokenizers/fsq_quantizer.h"
#include "gear/models/tokenizers/ibq_quantizer.h"
#include "gear/models/tokenizers/lfq_quantizer.h"
#include "gear/models/tokenizers/simvq_quantizer.h"
#include "gear/models/tokenizers/vq_quantizer.h"

namespace gear::models {

std::shared_ptr<Quantizer> make_quantizer(const QuantizerConfig& config) {
  switch (config.kind) {
    case QuantizerKind::kVq:
      return std::make_shared<VqQuantizer>(config);
    case QuantizerKind::kLfq:
    case QuantizerKind::kGlfq:
      return std::make_shared<LfqQuantizer>(config);
    case QuantizerKind::kIbq:
      return std::make_shared<IbqQuantizer>(config);
    case QuantizerKind::kFsq:
      return std::make_shared<FsqQuantizer>(config);
    case QuantizerKind::kSimVq:
      return std::make_shared<SimVqQuantizer>(config);
  }
  fail("make_quantizer: unhandled kind ", static_cast<int>(config.kind));
}

Tensor QuantizerLosses::total() const {
  Tensor sum;
  for (const Tensor& term : {codebook, commit, entropy}) {
    if (term.defined()) sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

}  // namespace gear::models
