#include "gear/ops/conv2d.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>
#include <vector>

#include "ops/winograd_kernels.h"

// B images, C channels in, K channels out, k taps per side

namespace gear::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kLast = at::MemoryFormat::ChannelsLast;

// With fewer pixels than this transforming the weights costs more than it saves.
constexpr int64_t kFewestPixels = 128;

struct Winograd : torch::autograd::Function<Winograd> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias, int64_t padding) {
    RECORD_FUNCTION("gear::convolution", std::vector<c10::IValue>({x, weight, padding}));
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["padding"] = padding;
    return cpu::winograd_forward(x, weight.contiguous(), bias ? bias->contiguous() : Tensor(),
                                 padding);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "conv2d: has no second derivative");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const int64_t padding = context->saved_data["padding"].toInt();
    const bool has_bias = context->saved_data["bias"].toBool();
    const auto grad = grad_outputs[0].contiguous(kLast);
    RECORD_FUNCTION("gear::convolution_backward",
                    std::vector<c10::IValue>({grad, weight, context->needs_input_grad(0),
                                              context->needs_input_grad(1)}));
    variable_list gradients(4);
    if (context->needs_input_grad(0)) {
      gradients[0] = cpu::winograd_input_gradient(grad, weight.contiguous(), padding);
    }
    const bool wants_bias = has_bias && context->needs_input_grad(2);
    if (context->needs_input_grad(1)) {
      auto found = cpu::winograd_parameter_gradients(x, grad, weight.size(2), padding);
      gradients[1] = std::move(found.weight);
      if (wants_bias) gradients[2] = std::move(found.bias);
    } else if (wants_bias) {
      gradients[2] = grad.sum({0, 2, 3});
    }
    return gradients;
  }
};

void check(const Tensor& x, const Tensor& weight, int64_t padding) {
  TORCH_CHECK(x.dim() == 4 && weight.dim() == 4 && weight.size(1) == x.size(1) &&
                  weight.size(2) == weight.size(3),
              "conv2d: x must be [B, C, H, W] and weight [K, C, k, k], got ", x.sizes(), " and ",
              weight.sizes());
  TORCH_CHECK(padding >= 0 && padding < weight.size(2), "conv2d: padding must be from 0 to ",
              weight.size(2) - 1, ", got ", padding);
}

}  // namespace

bool has_winograd() { return cpu::winograd_supported(); }

bool winograd_fits(const Tensor& x, const Tensor& weight) {
  const auto whole = [](int64_t width) { return width % cpu::kWinogradChannels == 0; };
  const int64_t taps = weight.size(2);
  return has_winograd() && (taps == 3 || taps == 4) && x.is_cpu() &&
         x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         whole(weight.size(0)) && whole(weight.size(1)) && x.is_contiguous(kLast) &&
         x.size(0) * x.size(2) * x.size(3) >= kFewestPixels;
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding,
              ConvMethod method) {
  check(x, weight, padding);
  const bool autocast = at::autocast::is_autocast_enabled(x.device().type());
  // An undefined tensor would be taken for a variable; an empty optional is not.
  const auto optional_bias = bias.defined() ? std::optional(bias) : std::nullopt;
  if (method == ConvMethod::kDirect || autocast || !winograd_fits(x, weight)) {
    return at::conv2d(x, weight, optional_bias, /*stride=*/1, padding);
  }
  return Winograd::apply(x, weight, optional_bias, padding);
}

}  // namespace gear::ops
