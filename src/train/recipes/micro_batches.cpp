#include "gear/train/recipes/micro_batches.h"

#include <cmath>

namespace gear::train {

Tensor tokenizer_input(const Tensor& images) {
  if (images.is_floating_point()) return images;
  return models::to_signed_unit(images);
}

void set_trainable(torch::nn::Module& module, bool trainable) {
  for (auto& parameter : module.parameters()) parameter.requires_grad_(trainable);
}

void expect_finite_loss(const Tensor& loss, const std::string& what) {
  const double value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw NonFiniteError("the loss " + what + " is " + std::to_string(value));
  }
}

}  // namespace gear::train
