#include "gear/train/recipes/micro_batches.h"

#include <cmath>
#include <string>

namespace gear::train {
namespace {

[[noreturn]] void fail_loss(const std::string& name, double value) {
  throw NonFiniteError("the loss " + name + (std::isnan(value) ? " is NaN" : " is infinite"));
}

}  // namespace

Tensor tokenizer_input(const Tensor& images) {
  if (images.is_floating_point()) return images;
  // Channels last: convolutions need no copies to and from their own layout, norms are fused.
  return models::to_signed_unit(images).contiguous(at::MemoryFormat::ChannelsLast);
}

void set_trainable(torch::nn::Module& module, bool trainable) {
  for (auto& parameter : module.parameters()) parameter.requires_grad_(trainable);
}

void expect_finite_loss(const Tensor& total, const Metrics& terms) {
  const double value = total.item<double>();
  if (std::isfinite(value)) return;
  for (const auto& [name, term] : terms.host_values()) {
    if (!std::isfinite(term)) fail_loss(name, term);
  }
  fail_loss("total", value);
}

void expect_finite_weights(const std::vector<NamedParameter>& weights) {
  const std::string name = first_nonfinite(weights);
  if (!name.empty()) throw NonFiniteError("the weight " + name + " is not finite");
}

}  // namespace gear::train
