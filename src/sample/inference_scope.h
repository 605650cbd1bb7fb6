#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

namespace gear::sample {

/// Eval mode without gradients; the module's mode comes back at the end of the scope.
class InferenceScope {
 public:
  explicit InferenceScope(torch::nn::Module& module)
      : module_(module), was_training_(module.is_training()) {
    module_.eval();
  }
  ~InferenceScope() { module_.train(was_training_); }
  InferenceScope(const InferenceScope&) = delete;
  InferenceScope& operator=(const InferenceScope&) = delete;

 private:
  torch::nn::Module& module_;
  bool was_training_;
  at::NoGradGuard no_grad_;
};

}  // namespace gear::sample
