#include "gear/train/grad_clip.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "gear/train/nonfinite.h"

namespace gear::train {
namespace {

std::vector<Tensor> tensors_of(const NamedTensors& named) {
  std::vector<Tensor> tensors;
  for (const auto& [name, tensor] : named) tensors.push_back(tensor);
  return tensors;
}

NamedTensors gradients_of(const std::vector<NamedParameter>& parameters) {
  NamedTensors gradients;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.grad().defined()) gradients.emplace_back(name, parameter.grad());
  }
  return gradients;
}

std::vector<Tensor> norms_of(const NamedTensors& gradients) {
  if (gradients.empty()) return {};
  return at::_foreach_norm(tensors_of(gradients));
}

Tensor global_norm(const std::vector<Tensor>& norms) {
  if (norms.empty()) return at::zeros({}, at::kFloat);
  return at::linalg_vector_norm(at::stack(norms));
}

Tensor factor_for(const Tensor& norm, double max_norm) {
  return (max_norm / (norm + 1e-6)).clamp_max(1.0);
}

void scale(const NamedTensors& gradients, const Tensor& factor) {
  if (!gradients.empty()) at::_foreach_mul_(tensors_of(gradients), factor);
}

/// The global norm; throws where it is not finite, before anything is scaled: a NaN would spread to
/// every gradient and hide where it came from.
Tensor checked_norm(const NamedTensors& gradients, const std::vector<Tensor>& norms,
                    const dist::World& world) {
  Tensor norm = global_norm(norms);
  if (std::isfinite(norm.item<double>())) return norm;
  const std::string name = dist::first_of_ranks(first_nonfinite(gradients), world);
  if (name.empty()) {
    throw NonFiniteError("the gradients from " + gradients.front().first + " to " +
                         gradients.back().first + " are too large: their norm overflows float32");
  }
  throw NonFiniteError("the gradient of " + name + " is not finite");
}

}  // namespace

Tensor clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm) {
  const at::NoGradGuard no_grad;
  const NamedTensors gradients = gradients_of(parameters);
  const Tensor norm = global_norm(norms_of(gradients));
  scale(gradients, factor_for(norm, max_norm));
  return norm;
}

Tensor clip_and_check(const std::vector<NamedParameter>& parameters, double max_norm) {
  const at::NoGradGuard no_grad;
  const NamedTensors gradients = gradients_of(parameters);
  const Tensor norm = checked_norm(gradients, norms_of(gradients), {});
  scale(gradients, factor_for(norm, max_norm));
  return norm;
}

Tensor clip_and_check(AdamW& optimizer, const std::vector<Tensor>& norms, double max_norm,
                      const dist::World& world) {
  const at::NoGradGuard no_grad;
  const Tensor norm = checked_norm(gradients_of(optimizer.parameters()), norms, world);
  optimizer.scale_gradients(factor_for(norm, max_norm));
  return norm;
}

}  // namespace gear::train
