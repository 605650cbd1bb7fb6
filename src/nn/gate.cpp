#include "gear/nn/gate.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

namespace gear::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The keeper as something that a node of the graph can hold.
struct Held : torch::CustomClassHolder {
  explicit Held(std::shared_ptr<ParameterKeeper> held) : keeper(std::move(held)) {}
  std::shared_ptr<ParameterKeeper> keeper;
};

ParameterKeeper& keeper_of(AutogradContext* context) {
  const auto held =
      c10::static_intrusive_pointer_cast<Held>(context->saved_data.at("keeper").toCapsule());
  return *held->keeper;
}

/// The identity; its backward pass is the last that happens to the block.
struct Entry : torch::autograd::Function<Entry> {
  static Tensor forward(AutogradContext* context, const Tensor& x,
                        const c10::intrusive_ptr<Held>& held) {
    context->saved_data["keeper"] = c10::IValue::make_capsule(held);
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    keeper_of(context).after_backward();
    return {gradients[0], Tensor()};
  }
};

/// The identity; its backward pass is the first that happens to the block.
struct Exit : torch::autograd::Function<Exit> {
  static Tensor forward(AutogradContext* context, const Tensor& y,
                        const c10::intrusive_ptr<Held>& held) {
    context->saved_data["keeper"] = c10::IValue::make_capsule(held);
    return y.view_as(y);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    keeper_of(context).before_backward();
    return {gradients[0], Tensor()};
  }
};

thread_local std::function<void(KeptModule&)> on_module_built;  // of the BuildScope, if any

bool is_recorded(const Tensor& tensor) {
  return at::GradMode::is_enabled() && tensor.requires_grad();
}

}  // namespace

void KeptModule::tell_built() {
  if (on_module_built) on_module_built(*this);
}

Tensor GatedModule::enter(const Tensor& x) {
  if (!keeper()) return x;
  keeper()->before_forward();
  return is_recorded(x) ? Entry::apply(x, c10::make_intrusive<Held>(keeper())) : x;
}

Tensor GatedModule::leave(const Tensor& y) {
  if (!keeper()) return y;
  keeper()->after_forward();
  return is_recorded(y) ? Exit::apply(y, c10::make_intrusive<Held>(keeper())) : y;
}

BuildScope::BuildScope(std::function<void(KeptModule&)> on_built) {
  TORCH_CHECK(!on_module_built, "BuildScope: there is one already");
  on_module_built = std::move(on_built);
}

BuildScope::~BuildScope() { on_module_built = nullptr; }

WholeScope::WholeScope(const torch::nn::Module& module) {
  if (const auto* kept = dynamic_cast<const KeptModule*>(&module)) keeper_ = kept->keeper();
  if (keeper_) keeper_->before_forward();
}

WholeScope::~WholeScope() {
  if (keeper_) keeper_->after_forward();
}

}  // namespace gear::nn
