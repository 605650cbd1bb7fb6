#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "gear/train/ema.h"
#include "gear/train/optimizer_config.h"
#include "gear/train/state.h"

namespace gear::train {

using NamedParameter = NamedTensors::value_type;

/// Parameters that require a gradient, named "<owner>.<registered name>".
std::vector<NamedParameter> trainable_parameters(const torch::nn::Module& module,
                                                 const std::string& owner);

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
};
AdamWOptions adamw_options(const OptimizerConfig& config);

/// AdamW (arXiv:1711.05101): decoupled decay p -= lr * wd * p, then
///   p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// in one pass over each parameter (ops::adamw_). The moments exist from the start, so that a
/// checkpoint can be loaded into them before the first step. A parameter without a gradient is left
/// alone and its t does not advance.
class AdamW {
 public:
  AdamW(std::vector<NamedParameter> parameters, AdamWOptions options);

  /// From now on step() also updates the averages of the parameters, in the same pass.
  void average_into(Ema& ema);
  /// The next step() multiplies the gradients by this, a scalar on their device.
  void scale_gradients(const Tensor& factor) { gradient_factor_ = factor; }

  void step(double lr);
  void zero_grad();  ///< frees the gradients

  const std::vector<NamedParameter>& parameters() const { return parameters_; }

  /// "exp_avg.<parameter>", "exp_avg_sq.<parameter>" and "step.<parameter>" (float32 scalar t).
  TensorGroup state(const std::string& group_name) const;

 private:
  std::vector<NamedParameter> parameters_;
  AdamWOptions options_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;  // like the parameters
  std::vector<Tensor> steps_;                 // [] each
  std::vector<Tensor> averages_;              // like the parameters, or undefined
  double average_decay_ = 0.0;
  Tensor gradient_factor_;
};

}  // namespace gear::train
