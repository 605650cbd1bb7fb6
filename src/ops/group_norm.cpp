#include "gear/ops/group_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

#include "ops/group_norm_passes.h"
#include "ops/optional_tensor.h"
#include "ops/stored_norm_options.h"

namespace gear::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_parameter(const char* name, const Tensor& parameter, const Tensor& x) {
  if (!parameter.defined()) return;
  TORCH_CHECK(parameter.dim() == 1 && parameter.size(0) == x.size(1), "group_norm: ", name,
              " must be [", x.size(1), "], got ", parameter.sizes());
  TORCH_CHECK(parameter.is_floating_point() && parameter.device() == x.device(),
              "group_norm: ", name, " must be of a floating type on ", x.device(), ", got ",
              parameter.scalar_type(), " on ", parameter.device());
}

const GroupNormKernels& kernels_of(const Tensor& x) {
  if (x.is_cpu()) return cpu::group_norm_kernels();
#ifdef GEAR_WITH_CUDA
  if (x.is_cuda()) return cuda::group_norm_kernels();
#endif
  TORCH_CHECK(false, "group_norm: this build has no kernels for ", x.device());
}

GroupNormCall make_call(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const GroupNormOptions& options) {
  const auto type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto prepared = [&](const Tensor& parameter) {
    return parameter.defined() ? parameter.to(type).contiguous() : parameter;
  };
  return {.x = x.contiguous(x.suggest_memory_format()),
          .weight = prepared(weight),
          .bias = prepared(bias),
          .options = options};
}

}  // namespace

void check_group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const GroupNormOptions& options) {
  const auto type = x.scalar_type();
  TORCH_CHECK(x.dim() == 4, "group_norm: x must be [B, C, H, W], got ", x.sizes());
  TORCH_CHECK(x.numel() > 0, "group_norm: nothing to normalise in ", x.sizes());
  TORCH_CHECK(type == at::kFloat || type == at::kBFloat16 || type == at::kDouble,
              "group_norm: x must be float32, bfloat16 or float64, got ", type);
  TORCH_CHECK(options.groups > 0 && x.size(1) % options.groups == 0, "group_norm: ", x.size(1),
              " channels do not divide into ", options.groups, " groups");
  TORCH_CHECK(options.eps > 0, "group_norm: eps must be above 0, got ", options.eps);
  check_parameter("weight", weight, x);
  check_parameter("bias", bias, x);
}

GroupNormResult group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                   const GroupNormOptions& options) {
  return kernels_of(x).forward(make_call(x, weight, bias, options));
}

Tensor group_norm_again(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const GroupNormOptions& options, const GroupNormMoments& moments) {
  return kernels_of(x).normalise(make_call(x, weight, bias, options), moments);
}

GroupNormGradients group_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                       const GroupNormOptions& options,
                                       const GroupNormMoments& moments, const Tensor& grad,
                                       bool wants_x) {
  const auto call = make_call(x, weight, bias, options);
  auto found = kernels_of(x).backward(call, moments,
                                      grad.contiguous(call.x.suggest_memory_format()), wants_x);
  const auto like = [](const Tensor& gradient, const Tensor& parameter) {
    return parameter.defined() ? gradient.to(parameter.scalar_type()) : Tensor();
  };
  return {.x = found.x, .weight = like(found.weight, weight), .bias = like(found.bias, bias)};
}

namespace {

struct GroupNorm : torch::autograd::Function<GroupNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x,
                        const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                        const GroupNormOptions& options) {
    auto [y, moments] =
        group_norm_forward(x, weight.value_or(Tensor()), bias.value_or(Tensor()), options);
    context->save_for_backward(
        {x, weight.value_or(Tensor()), bias.value_or(Tensor()), moments.mean, moments.rstd});
    store(context, options);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "group_norm: has no second derivative");
    const auto saved = context->get_saved_variables();
    const auto found = group_norm_backward(
        saved[0], saved[1], saved[2], stored_norm_options(context),
        {.mean = saved[3], .rstd = saved[4]}, grad_outputs[0], context->needs_input_grad(0));
    return {found.x, found.weight, found.bias, Tensor()};
  }
};

}  // namespace

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const GroupNormOptions& options) {
  check_group_norm(x, weight, bias, options);
  return GroupNorm::apply(x, optional(weight), optional(bias), options);
}

}  // namespace gear::ops
