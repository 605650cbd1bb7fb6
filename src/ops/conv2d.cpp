#include "gear/ops/conv2d.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>
#include <vector>

#include "ops/conv2d_passes.h"
#include "ops/optional_tensor.h"
#include "ops/winograd_kernels.h"

// B images, C channels in, K channels out, k taps per side

namespace gear::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kLast = at::MemoryFormat::ChannelsLast;

// From 8 x 8 pixels on transforming the weights pays even for one picture (gear_ops_bench). The
// number of pictures is left out: the ranks of a run, with some of them each, shall take the method
// that one process takes for all.
constexpr int64_t kFewestPixels = 64;

struct Winograd : torch::autograd::Function<Winograd> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias, int64_t padding) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["padding"] = padding;
    return conv2d_forward(x, weight, bias.value_or(Tensor()), padding, ConvMethod::kWinograd);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "conv2d: has no second derivative");
    const auto saved = context->get_saved_variables();
    const bool has_bias = context->saved_data["bias"].toBool();
    auto found = conv2d_backward(grad_outputs[0], saved[0], saved[1],
                                 context->saved_data["padding"].toInt(), ConvMethod::kWinograd,
                                 {.x = context->needs_input_grad(0),
                                  .weight = context->needs_input_grad(1),
                                  .bias = has_bias && context->needs_input_grad(2)});
    return {found.x, found.weight, found.bias, Tensor()};
  }
};

Conv2dGradients winograd_backward(const Tensor& grad, const Tensor& x, const Tensor& weight,
                                  int64_t padding, const Conv2dWanted& wanted) {
  RECORD_FUNCTION("gear::convolution_backward",
                  std::vector<c10::IValue>({grad, weight, wanted.x, wanted.weight}));
  Conv2dGradients gradients;
  if (wanted.x) gradients.x = cpu::winograd_input_gradient(grad, weight.contiguous(), padding);
  if (wanted.weight) {
    auto found = cpu::winograd_parameter_gradients(x, grad, weight.size(2), padding);
    gradients.weight = std::move(found.weight);
    if (wanted.bias) gradients.bias = std::move(found.bias);
  } else if (wanted.bias) {
    gradients.bias = grad.sum({0, 2, 3});
  }
  return gradients;
}

Conv2dGradients direct_backward(const Tensor& grad, const Tensor& x, const Tensor& weight,
                                int64_t padding, const Conv2dWanted& wanted) {
  const int64_t channels = weight.size(0);
  const auto bias_sizes = wanted.bias ? at::OptionalIntArrayRef(channels) : std::nullopt;
  auto [of_x, of_weight, of_bias] =
      at::convolution_backward(grad, x, weight, bias_sizes, /*stride=*/1, padding, /*dilation=*/1,
                               /*transposed=*/false, /*output_padding=*/0, /*groups=*/1,
                               {wanted.x, wanted.weight, wanted.bias});
  return {.x = std::move(of_x), .weight = std::move(of_weight), .bias = std::move(of_bias)};
}

}  // namespace

void check_conv2d(const Tensor& x, const Tensor& weight, int64_t padding) {
  TORCH_CHECK(x.dim() == 4 && weight.dim() == 4 && weight.size(1) == x.size(1) &&
                  weight.size(2) == weight.size(3),
              "conv2d: x must be [B, C, H, W] and weight [K, C, k, k], got ", x.sizes(), " and ",
              weight.sizes());
  TORCH_CHECK(padding >= 0 && padding < weight.size(2), "conv2d: padding must be from 0 to ",
              weight.size(2) - 1, ", got ", padding);
}

ConvMethod fitting_method(const Tensor& x, const Tensor& weight, ConvMethod wanted) {
  return winograd_fits(x, weight) ? wanted : ConvMethod::kDirect;
}

Tensor conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding,
                      ConvMethod method) {
  if (method == ConvMethod::kDirect) return at::conv2d(x, weight, optional(bias), 1, padding);
  RECORD_FUNCTION("gear::convolution", std::vector<c10::IValue>({x, weight, padding}));
  return cpu::winograd_forward(x, weight.contiguous(), bias.defined() ? bias.contiguous() : bias,
                               padding);
}

Conv2dGradients conv2d_backward(const Tensor& grad, const Tensor& x, const Tensor& weight,
                                int64_t padding, ConvMethod method, const Conv2dWanted& wanted) {
  if (!wanted.x && !wanted.weight && !wanted.bias) return {};
  return method == ConvMethod::kDirect
             ? direct_backward(grad, x, weight, padding, wanted)
             : winograd_backward(grad.contiguous(kLast), x, weight, padding, wanted);
}

bool has_winograd() { return cpu::winograd_supported(); }

bool winograd_fits(const Tensor& x, const Tensor& weight) {
  const auto whole = [](int64_t width) { return width % cpu::kWinogradChannels == 0; };
  const int64_t taps = weight.size(2);
  return has_winograd() && (taps == 3 || taps == 4) && x.is_cpu() &&
         x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         whole(weight.size(0)) && whole(weight.size(1)) && x.is_contiguous(kLast) &&
         x.size(2) * x.size(3) >= kFewestPixels;
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding,
              ConvMethod method) {
  check_conv2d(x, weight, padding);
  const bool autocast = at::autocast::is_autocast_enabled(x.device().type());
  if (autocast || fitting_method(x, weight, method) == ConvMethod::kDirect) {
    return at::conv2d(x, weight, optional(bias), /*stride=*/1, padding);
  }
  return Winograd::apply(x, weight, optional(bias), padding);
}

}  // namespace gear::ops
