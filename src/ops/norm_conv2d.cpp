#include "gear/ops/norm_conv2d.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

#include "ops/conv2d_passes.h"
#include "ops/group_norm_passes.h"
#include "ops/optional_tensor.h"
#include "ops/product_type.h"
#include "ops/stored_norm_options.h"
#include "ops/without_autocast.h"

// B images, C channels in, K channels out, k taps per side

namespace gear::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void store(AutogradContext* context, const NormConv2dOptions& options) {
  auto& data = context->saved_data;
  store(context, options.norm);
  data["padding"] = options.padding;
  data["winograd"] = options.method == ConvMethod::kWinograd;
}

NormConv2dOptions stored_options(AutogradContext* context) {
  auto& data = context->saved_data;
  return {.norm = stored_norm_options(context),
          .padding = data["padding"].toInt(),
          .method = data["winograd"].toBool() ? ConvMethod::kWinograd : ConvMethod::kDirect};
}

struct NormConv2d : torch::autograd::Function<NormConv2d> {
  // Arguments of forward, in whose order backward returns the gradients.
  enum Argument { kX, kNormWeight, kNormBias, kWeight, kBias, kOptions, kArguments };

  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& norm_weight,
                        const Tensor& norm_bias, const Tensor& weight,
                        const std::optional<Tensor>& bias, NormConv2dOptions options) {
    const auto type = product_type(x);
    const WithoutAutocast without_autocast;
    auto [y, moments] = group_norm_forward(x, norm_weight, norm_bias, options.norm);
    y = y.to(type);
    const auto factors = weight.to(type);
    options.method = fitting_method(y, factors, options.method);

    context->save_for_backward(
        {x, norm_weight, norm_bias, weight, bias.value_or(Tensor()), moments.mean, moments.rstd});
    context->saved_data["type"] = static_cast<int64_t>(type);
    store(context, options);
    return conv2d_forward(y, factors, cast(bias.value_or(Tensor()), type), options.padding,
                          options.method);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "norm_conv2d: has no second derivative");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &norm_weight = saved[1], &norm_bias = saved[2];
    const Tensor &weight = saved[3], &bias = saved[4];
    const GroupNormMoments moments = {.mean = saved[5], .rstd = saved[6]};
    const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
    const auto options = stored_options(context);
    const WithoutAutocast without_autocast;

    const bool wants_norm = context->needs_input_grad(kX) ||
                            context->needs_input_grad(kNormWeight) ||
                            context->needs_input_grad(kNormBias);
    const auto of_conv = [&] {  // the normalised map is gone behind it
      const auto y = group_norm_again(x, norm_weight, norm_bias, options.norm, moments).to(type);
      return conv2d_backward(grad_outputs[0], y, weight.to(type), options.padding, options.method,
                             {.x = wants_norm,
                              .weight = context->needs_input_grad(kWeight),
                              .bias = bias.defined() && context->needs_input_grad(kBias)});
    }();
    variable_list gradients(kArguments);
    gradients[kWeight] = cast(of_conv.weight, weight.scalar_type());
    if (bias.defined()) gradients[kBias] = cast(of_conv.bias, bias.scalar_type());
    if (!wants_norm) return gradients;

    auto of_norm =
        group_norm_backward(x, norm_weight, norm_bias, options.norm, moments,
                            of_conv.x.to(x.scalar_type()), context->needs_input_grad(kX));
    gradients[kX] = std::move(of_norm.x);
    gradients[kNormWeight] = std::move(of_norm.weight);
    gradients[kNormBias] = std::move(of_norm.bias);
    return gradients;
  }
};

}  // namespace

Tensor norm_conv2d(const Tensor& x, const NormConv2dParameters& parameters,
                   const NormConv2dOptions& options) {
  TORCH_CHECK(parameters.norm_weight.defined() && parameters.norm_bias.defined(),
              "norm_conv2d: the normalisation needs a weight and a bias");
  check_group_norm(x, parameters.norm_weight, parameters.norm_bias, options.norm);
  check_conv2d(x, parameters.weight, options.padding);
  return NormConv2d::apply(x, parameters.norm_weight, parameters.norm_bias, parameters.weight,
                           optional(parameters.bias), options);
}

}  // namespace gear::ops
