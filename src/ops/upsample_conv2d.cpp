#include "gear/ops/upsample_conv2d.h"

#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/upsample_nearest2d_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "ops/conv2d_passes.h"
#include "ops/optional_tensor.h"
#include "ops/product_type.h"
#include "ops/without_autocast.h"

// B images, C channels in, K channels out

namespace gear::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kPadding = 1;

std::vector<int64_t> doubled(const Tensor& x) { return {2 * x.size(2), 2 * x.size(3)}; }

struct UpsampleConv2d : torch::autograd::Function<UpsampleConv2d> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias, ConvMethod wanted) {
    const auto type = product_type(x);
    const WithoutAutocast without_autocast;
    const auto larger = at::upsample_nearest2d(x, doubled(x)).to(type);
    const auto factors = weight.to(type);
    const auto method = fitting_method(larger, factors, wanted);
    context->save_for_backward({x, weight, bias.value_or(Tensor())});
    context->saved_data["type"] = static_cast<int64_t>(type);
    context->saved_data["winograd"] = method == ConvMethod::kWinograd;
    return conv2d_forward(larger, factors, cast(bias.value_or(Tensor()), type), kPadding, method);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "upsample_conv2d: has no second derivative");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
    const auto method =
        context->saved_data["winograd"].toBool() ? ConvMethod::kWinograd : ConvMethod::kDirect;
    const WithoutAutocast without_autocast;
    const auto larger = at::upsample_nearest2d(x, doubled(x)).to(type);
    const auto found = conv2d_backward(grad_outputs[0], larger, weight.to(type), kPadding, method,
                                       {.x = context->needs_input_grad(0),
                                        .weight = context->needs_input_grad(1),
                                        .bias = bias.defined() && context->needs_input_grad(2)});
    variable_list gradients(4);
    if (found.x.defined()) {
      gradients[0] =
          at::upsample_nearest2d_backward(found.x.to(x.scalar_type()), doubled(x), x.sizes());
    }
    gradients[1] = cast(found.weight, weight.scalar_type());
    if (bias.defined()) gradients[2] = cast(found.bias, bias.scalar_type());
    return gradients;
  }
};

}  // namespace

Tensor upsample_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       ConvMethod method) {
  check_conv2d(x, weight, kPadding);
  TORCH_CHECK(weight.size(2) == 3, "upsample_conv2d: weight must be [K, C, 3, 3], got ",
              weight.sizes());
  return UpsampleConv2d::apply(x, weight, optional(bias), method);
}

}  // namespace gear::ops
