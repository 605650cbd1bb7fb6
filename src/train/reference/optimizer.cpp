#include "train/reference/optimizer.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <map>

#include "gear/core/error.h"
#include "gear/core/tensor.h"

namespace gear::train::reference {
namespace {

using io::PickleValue;
using io::TorchValue;
using Kind = PickleValue::Kind;

/// The states by the number of their parameter.
std::map<int64_t, const PickleValue*> states_of(const PickleValue& state_dict) {
  const PickleValue* state = state_dict.find("state");
  if (state == nullptr || !state->is(Kind::kDict)) {
    fail("is no state_dict of an optimizer: it has no dictionary `state`");
  }
  const PickleValue* groups = state_dict.find("param_groups");
  if (groups != nullptr && groups->items.size() > 1) {
    fail("has ", groups->items.size(),
         " groups of parameters, expected one; their order does not tell which is which");
  }
  std::map<int64_t, const PickleValue*> states;
  for (const auto& [key, value] : state->entries) {
    if (!key->is(Kind::kInt))
      fail("has ", describe(*key), " where the number of a parameter is due");
    states[key->integer] = value;
  }
  return states;
}

/// exp_avg or exp_avg_sq of one parameter.
Tensor moment_of(const PickleValue& state, const char* which, const NamedParameter& parameter) {
  const auto& [name, expected] = parameter;
  const PickleValue* value = state.find(which);
  if (value == nullptr || !value->is(Kind::kTensor)) fail("lacks ", which, " of ", name);
  if (expected.sizes() != value->tensor->sizes) {
    fail(which, " of ", name, ": expected ", sizes_string(expected.sizes()), ", got ",
         sizes_string(value->tensor->sizes),
         "; it is of another configuration: give the one that fits with --config");
  }
  return value->tensor->values().to(expected.scalar_type());
}

/// Older PyTorch counted steps in an int.
Tensor step_of(const PickleValue& state, const std::string& name) {
  const PickleValue* value = state.find("step");
  if (value != nullptr && value->is(Kind::kTensor) &&
      c10::multiply_integers(value->tensor->sizes) == 1) {
    return value->tensor->values().to(at::kFloat).reshape({});
  }
  if (value != nullptr && value->is(Kind::kInt)) {
    return at::full({}, static_cast<double>(value->integer), at::kFloat);
  }
  fail("lacks step of ", name);
}

/// A tensor of a checkpoint group; nullptr when it is absent.
const Tensor* find_tensor(const std::map<std::string, const Tensor*>& tensors,
                          const std::string& name) {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : found->second;
}

TorchValue parameter_group(const OptimizerSettings& settings, size_t parameters) {
  const OptimizerConfig& config = settings.config;
  TorchValue::List numbers;
  for (size_t i = 0; i < parameters; ++i) numbers.items.emplace_back(i);
  TorchValue::Dict group;
  group.set("lr", settings.lr);
  group.set("betas", TorchValue::Tuple{{config.beta1, config.beta2}});
  group.set("eps", config.eps);
  group.set("weight_decay", config.weight_decay);
  group.set("amsgrad", false);
  group.set("maximize", false);
  group.set("foreach", {});
  group.set("capturable", false);
  group.set("differentiable", false);
  group.set("fused", {});
  group.set("decoupled_weight_decay", true);
  group.set("initial_lr", settings.base_lr);
  group.set("params", std::move(numbers));
  return group;
}

}  // namespace

TensorGroup optimizer_group(const PickleValue& state_dict, const std::string& name,
                            const std::vector<NamedParameter>& parameters,
                            const std::string& source) {
  return with_context(source, [&] {
    auto states = states_of(state_dict);
    TensorGroup group{name, {}};
    for (size_t i = 0; i < parameters.size(); ++i) {
      const auto& [parameter, shape] = parameters[i];
      const auto found = states.find(static_cast<int64_t>(i));
      const bool trained = found != states.end();
      for (const char* which : {"exp_avg", "exp_avg_sq"}) {
        group.tensors.emplace_back(std::string(which) + "." + parameter,
                                   trained ? moment_of(*found->second, which, parameters[i])
                                           : at::zeros(shape.sizes(), shape.scalar_type()));
      }
      group.tensors.emplace_back("step." + parameter, trained ? step_of(*found->second, parameter)
                                                              : at::zeros({}, at::kFloat));
      if (trained) states.erase(found);
    }
    if (!states.empty()) {
      fail("has a state for parameter ", states.begin()->first, ", but the network has ",
           parameters.size(), " (counted from 0)");
    }
    return group;
  });
}

TorchValue optimizer_state_dict(const TensorGroup& group,
                                const std::vector<NamedParameter>& parameters,
                                const OptimizerSettings& settings) {
  std::map<std::string, const Tensor*> tensors;
  for (const auto& [name, tensor] : group.tensors) tensors[name] = &tensor;
  TorchValue::Dict states;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = parameters[i].first;
    const Tensor* step = find_tensor(tensors, "step." + name);
    const Tensor* exp_avg = find_tensor(tensors, "exp_avg." + name);
    const Tensor* exp_avg_sq = find_tensor(tensors, "exp_avg_sq." + name);
    if (step == nullptr || exp_avg == nullptr || exp_avg_sq == nullptr) {
      fail(group.name, ": has no moments of ", name, ", which the configuration trains");
    }
    if (step->item<double>() == 0.0) continue;
    TorchValue::Dict state;
    state.set("step", *step);
    state.set("exp_avg", *exp_avg);
    state.set("exp_avg_sq", *exp_avg_sq);
    states.set(i, std::move(state));
  }
  const auto listed = parameters.size() + static_cast<size_t>(settings.frozen_parameters);
  TorchValue::Dict state_dict;
  state_dict.set("state", std::move(states));
  state_dict.set("param_groups", TorchValue::List{{parameter_group(settings, listed)}});
  return state_dict;
}

TorchValue schedule_state_dict(const OptimizerSettings& settings, int64_t steps) {
  TorchValue::Dict schedule;
  schedule.set("base_lrs", TorchValue::List{{settings.base_lr}});
  schedule.set("last_epoch", steps);
  schedule.set("_step_count", steps + 1);
  schedule.set("_is_initial", false);
  schedule.set("_get_lr_called_within_step", false);
  schedule.set("_last_lr", TorchValue::List{{settings.lr}});
  schedule.set("lr_lambdas", TorchValue::List{{TorchValue()}});
  return schedule;
}

}  // namespace gear::train::reference
