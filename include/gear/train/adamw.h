#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

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
/// in one fused pass over each parameter. The moments exist from the start, so that a checkpoint
/// can be loaded into them before the first step. A parameter without a gradient is left alone and
/// its t does not advance.
class AdamW {
 public:
  AdamW(std::vector<NamedParameter> parameters, AdamWOptions options);

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
};

}  // namespace gear::train
