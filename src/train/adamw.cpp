#include "gear/train/adamw.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "gear/ops/adamw.h"

namespace gear::train {
namespace {

/// The fused pass walks parameter, gradient and moments by memory order, so all must lie alike.
Tensor gradient_laid_out_like(const Tensor& parameter) {
  const Tensor& gradient = parameter.grad();
  if (gradient.strides() == parameter.strides()) return gradient;
  return at::empty_like(parameter).copy_(gradient);
}

}  // namespace

std::vector<NamedParameter> trainable_parameters(const torch::nn::Module& module,
                                                 const std::string& owner) {
  std::vector<NamedParameter> parameters;
  for (const auto& item : module.named_parameters()) {
    if (item.value().requires_grad()) {
      parameters.emplace_back(owner + "." + item.key(), item.value());
    }
  }
  return parameters;
}

AdamWOptions adamw_options(const OptimizerConfig& config) {
  return {.beta1 = config.beta1,
          .beta2 = config.beta2,
          .eps = config.eps,
          .weight_decay = config.weight_decay};
}

AdamW::AdamW(std::vector<NamedParameter> parameters, AdamWOptions options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const auto& [name, parameter] : parameters_) {
    TORCH_CHECK(parameter.is_non_overlapping_and_dense(), "AdamW: ", name, " is not dense");
    exp_avg_.push_back(at::zeros_like(parameter));
    exp_avg_sq_.push_back(at::zeros_like(parameter));
    steps_.push_back(at::zeros({}, parameter.options().dtype(at::kFloat).requires_grad(false)));
    averages_.emplace_back();
  }
}

void AdamW::average_into(Ema& ema) {
  average_decay_ = ema.decay();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    averages_[i] = ema.hand_over(parameters_[i].second);
  }
}

void AdamW::step(double lr) {
  const at::NoGradGuard no_grad;
  std::vector<Tensor> steps_taken, left_alone, averages_left;
  std::vector<ops::AdamWTensors> updated;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& parameter = parameters_[i].second;
    if (!parameter.grad().defined()) {
      if (averages_[i].defined()) {
        left_alone.push_back(parameter);
        averages_left.push_back(averages_[i]);
      }
      continue;
    }
    steps_taken.push_back(steps_[i]);
    if (parameter.numel() == 0) continue;  // a piece of a parameter that another rank has whole
    TORCH_CHECK(parameter.strides() == exp_avg_[i].strides(), "AdamW: the memory format of ",
                parameters_[i].first, " changed after the optimizer was made");
    updated.push_back({.parameter = parameter,
                       .gradient = gradient_laid_out_like(parameter),
                       .exp_avg = exp_avg_[i],
                       .exp_avg_sq = exp_avg_sq_[i],
                       .step = steps_[i],
                       .average = averages_[i]});
  }
  if (!steps_taken.empty()) at::_foreach_add_(steps_taken, 1);
  ops::adamw_(updated, {.lr = lr,
                        .beta1 = options_.beta1,
                        .beta2 = options_.beta2,
                        .eps = options_.eps,
                        .weight_decay = options_.weight_decay,
                        .average_decay = average_decay_,
                        .gradient_factor = gradient_factor_});
  gradient_factor_.reset();
  move_averages(averages_left, left_alone, average_decay_);
}

void AdamW::zero_grad() {
  for (auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
}

TensorGroup AdamW::state(const std::string& group_name) const {
  TensorGroup group{group_name, {}};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].first;
    group.tensors.emplace_back("exp_avg." + name, exp_avg_[i]);
    group.tensors.emplace_back("exp_avg_sq." + name, exp_avg_sq_[i]);
    group.tensors.emplace_back("step." + name, steps_[i]);
  }
  return group;
}

}  // namespace gear::train
