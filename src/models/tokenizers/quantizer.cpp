#include "gear/models/tokenizers/quantizer.h"

#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/special_entr.h>

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

Tensor soft_assignment(const Tensor& cost, double temperature) {
  return at::softmax(cost / -temperature, -1);
}

Tensor straight_through_assignment(const Tensor& soft, const Tensor& ids) {
  const auto ones = at::ones({ids.size(0), 1}, soft.options());
  return (soft - soft.detach()).scatter_add_(1, ids.unsqueeze(1), ones);  // zeros plus ones
}

EntropyTerms entropy_terms(const Tensor& cost, double temperature) {
  constexpr double kFloor = 1e-5;
  const auto log_p = at::log_softmax(cost / -temperature, -1);  // [T, K] or [T, G, K]
  const auto p = log_p.exp();
  const auto mean_p = p.mean(0);  // [K] or [G, K]
  return {.sample = -(p * log_p).sum(-1).mean(),
          .average = -(mean_p * (mean_p + kFloor).log()).sum(-1).mean(),
          .average_unbiased = at::special_entr(mean_p.detach()).sum(-1).mean()};
}

}  // namespace gear::models
