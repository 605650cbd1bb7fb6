#pragma once

#include <torch/nn/module.h>

#include <functional>
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

/// A network, or a block of one, that can hand its parameters to a keeper: those that are in no
/// such module inside it.
class KeptModule : public torch::nn::Module {
 public:
  /// None: the parameters are always whole.
  void set_keeper(std::shared_ptr<ParameterKeeper> keeper) { keeper_ = std::move(keeper); }
  const std::shared_ptr<ParameterKeeper>& keeper() const { return keeper_; }

 protected:
  /// Ends the constructor of every concrete module: its parameters have their initial values.
  void tell_built();

 private:
  std::shared_ptr<ParameterKeeper> keeper_;
};

/// A block: the unit by which networks are divided. Its forward pass begins with enter() and ends
/// with leave(), which without a keeper return what they are given.
class GatedModule : public KeptModule {
 protected:
  Tensor enter(const Tensor& x);
  Tensor leave(const Tensor& y);
};

/// While it lives, `on_built` gets every KeptModule that this thread builds as soon as it is built,
/// inner ones first: a network can be divided while it grows. One lives at a time in a thread.
class BuildScope {
 public:
  explicit BuildScope(std::function<void(KeptModule&)> on_built);
  ~BuildScope();
  BuildScope(const BuildScope&) = delete;
  BuildScope& operator=(const BuildScope&) = delete;
};

/// While it lives, the parameters of `module` are whole, though a keeper may have divided them. Of
/// blocks inside it they are not.
class WholeScope {
 public:
  explicit WholeScope(const torch::nn::Module& module);
  ~WholeScope();
  WholeScope(const WholeScope&) = delete;
  WholeScope& operator=(const WholeScope&) = delete;

 private:
  std::shared_ptr<ParameterKeeper> keeper_;  // null: there is nothing to do
};

}  // namespace gear::nn
