#include "gear/train/ema.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>

#include <algorithm>

namespace gear::train {

Ema::Ema(const torch::nn::Module& live, torch::nn::Module& shadow, double decay,
         const std::vector<std::string>& constants, EmaStart start)
    : Ema(module_group("live", live).tensors, module_group("shadow", shadow).tensors, decay,
          constants, start) {}

Ema::Ema(const NamedTensors& live, const NamedTensors& shadow, double decay,
         const std::vector<std::string>& constants, EmaStart start)
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
  if (start == EmaStart::kCopy) copy_live();
}

void Ema::update() {
  const at::NoGradGuard no_grad;
  if (!live_.empty()) {
    // Product and sum are rounded apart, as in the published code: with decay 0.9999 a step changes
    // few bits, and a lerp would round them otherwise.
    at::_foreach_mul_(shadow_, decay_);
    at::_foreach_add_(shadow_, live_, 1.0 - decay_);
  }
  if (!copied_live_.empty()) at::_foreach_copy_(copied_shadow_, copied_live_);
}

void Ema::copy_live() {
  const at::NoGradGuard no_grad;
  if (!live_.empty()) at::_foreach_copy_(shadow_, live_);
  if (!copied_live_.empty()) at::_foreach_copy_(copied_shadow_, copied_live_);
  if (!constant_live_.empty()) at::_foreach_copy_(constant_shadow_, constant_live_);
}

}  // namespace gear::train
