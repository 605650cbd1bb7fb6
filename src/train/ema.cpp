#include "gear/train/ema.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>

#include <algorithm>

namespace gear::train {

void move_averages(const std::vector<Tensor>& shadow, const std::vector<Tensor>& live,
                   double decay) {
  if (shadow.empty()) return;
  // As in the published code: with decay 0.9999 a step changes few bits, and a lerp would round
  // them otherwise.
  at::_foreach_mul_(shadow, decay);
  at::_foreach_add_(shadow, live, 1.0 - decay);
}

Ema::Ema(const torch::nn::Module& live, torch::nn::Module& shadow, double decay,
         const std::vector<std::string>& constants)
    : Ema(module_group("live", live).tensors, module_group("shadow", shadow).tensors, decay,
          constants) {}

Ema::Ema(const NamedTensors& live, const NamedTensors& shadow, double decay,
         const std::vector<std::string>& constants)
    : decay_(decay) {
  TORCH_CHECK(live.size() == shadow.size(), "Ema: ", live.size(), " live tensors, but ",
              shadow.size(), " in the shadow");
  for (size_t i = 0; i < live.size(); ++i) {
    const auto& [name, tensor] = live[i];
    Tensor average = shadow[i].second;
    TORCH_CHECK(name == shadow[i].first && tensor.sizes() == average.sizes() &&
                    tensor.scalar_type() == average.scalar_type(),
                "Ema: ", name, " has no counterpart of its shape and type in the shadow");
    average.requires_grad_(false);
    const bool constant = std::find(constants.begin(), constants.end(), name) != constants.end();
    const bool averaged = tensor.is_floating_point() && !constant;
    (averaged ? live_ : constant ? constant_live_ : copied_live_).push_back(tensor);
    (averaged ? shadow_ : constant ? constant_shadow_ : copied_shadow_).push_back(average);
  }
  copy_live();
}

void Ema::update() {
  const at::NoGradGuard no_grad;
  move_averages(shadow_, live_, decay_);
  if (!copied_live_.empty()) at::_foreach_copy_(copied_shadow_, copied_live_);
}

Tensor Ema::hand_over(const Tensor& parameter) {
  for (size_t i = 0; i < live_.size(); ++i) {
    if (!live_[i].is_same(parameter)) continue;
    const Tensor average = shadow_[i];
    if (average.strides() != parameter.strides()) return {};  // they could not be walked together
    handed_live_.push_back(parameter);
    handed_shadow_.push_back(average);
    live_.erase(live_.begin() + static_cast<int64_t>(i));
    shadow_.erase(shadow_.begin() + static_cast<int64_t>(i));
    return average;
  }
  return {};
}

void Ema::copy_live() {
  const at::NoGradGuard no_grad;
  if (!live_.empty()) at::_foreach_copy_(shadow_, live_);
  if (!handed_live_.empty()) at::_foreach_copy_(handed_shadow_, handed_live_);
  if (!copied_live_.empty()) at::_foreach_copy_(copied_shadow_, copied_live_);
  if (!constant_live_.empty()) at::_foreach_copy_(constant_shadow_, constant_live_);
}

}  // namespace gear::train
