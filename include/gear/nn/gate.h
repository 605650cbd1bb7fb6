#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "gear/core/tensor.h"

namespace gear::nn {

/// Brings the parameters of a block together before it runs and lets them go afterwards, where they
/// are divided among processes; and learns when the block's gradients are complete.
class ParameterKeeper {
 public:
  virtual ~ParameterKeeper() = default;
  virtual void before_forward() = 0;  ///< the parameters must be whole when this returns
  virtual void after_forward() = 0;
  virtual void before_backward() = 0;  ///< whole again
  virtual void after_backward() = 0;   ///< the gradients that this pass brings are all there
};

/// A block of a network that can hand its parameters to a keeper: the unit by which networks are
/// divided. Its forward pass begins with enter() and ends with leave().
class GatedModule : public torch::nn::Module {
 public:
  /// None: the parameters are always whole, and enter() and leave() return what they are given.
  void set_keeper(std::shared_ptr<ParameterKeeper> keeper) { keeper_ = std::move(keeper); }

 protected:
  Tensor enter(const Tensor& x);
  Tensor leave(const Tensor& y);

 private:
  std::shared_ptr<ParameterKeeper> keeper_;
};

}  // namespace gear::nn
