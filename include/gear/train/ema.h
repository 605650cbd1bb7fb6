#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "gear/train/state.h"

namespace gear::train {

/// Exponential moving average of weights: shadow = decay * shadow + (1 - decay) * live, over
/// parameters and floating-point buffers. Integer buffers are copied. The shadow is frozen; it
/// starts as an exact copy.
class Ema {
 public:
  /// Two modules of the same shape. `constants` names buffers that never change (a fixed code
  /// table): averaging them would only add rounding, so they stay as they are.
  Ema(const torch::nn::Module& live, torch::nn::Module& shadow, double decay,
      const std::vector<std::string>& constants = {});
  /// Tensors of the same names, types and sizes in the same order.
  Ema(const NamedTensors& live, const NamedTensors& shadow, double decay,
      const std::vector<std::string>& constants = {});

  void update();
  void copy_live();  ///< makes the shadow an exact copy

  /// The average of a live parameter, which the caller updates from now on, as update() would;
  /// undefined where there is none that lies in memory like it.
  Tensor hand_over(const Tensor& parameter);
  double decay() const { return decay_; }

 private:
  double decay_;
  std::vector<Tensor> live_, shadow_;                // averaged
  std::vector<Tensor> handed_live_, handed_shadow_;  // averaged by someone else
  std::vector<Tensor> copied_live_, copied_shadow_;  // integers
  std::vector<Tensor> constant_live_, constant_shadow_;
};

/// shadow = decay * shadow + (1 - decay) * live for each pair, product and sum rounded apart.
void move_averages(const std::vector<Tensor>& shadow, const std::vector<Tensor>& live,
                   double decay);

}  // namespace gear::train
