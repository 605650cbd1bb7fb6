#include "gear/ops/group_norm.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

#include "ops/group_norm_kernels.h"

// B images, C channels in G groups of D, F: the type computed in (group_norm_kernels.h)

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

void check(const Tensor& x, const Tensor& weight, const Tensor& bias,
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

const GroupNormKernels& kernels_of(const Tensor& x) {
  if (x.is_cpu()) return cpu::group_norm_kernels();
#ifdef GEAR_WITH_CUDA
  if (x.is_cuda()) return cuda::group_norm_kernels();
#endif
  TORCH_CHECK(false, "group_norm: this build has no kernels for ", x.device());
}

/// In float64: the rounding of a mean far above the deviation would shift the whole group.
struct Moments {
  Tensor mean;  // [B, G]
  Tensor rstd;  // [B, G], 1 / sqrt(variance + eps)
};

/// One normalisation: its arguments, with x contiguous or channels-last and the rest in float64.
class Normalisation {
 public:
  Normalisation(const Tensor& x, const Tensor& weight, const Tensor& bias,
                const GroupNormOptions& options)
      : x_(x.contiguous(x.suggest_memory_format())),
        weight_(weight.defined() ? weight.to(at::kDouble) : weight),
        bias_(bias.defined() ? bias.to(at::kDouble) : bias),
        options_(options),
        kernels_(kernels_of(x)) {}

  Moments moments() const {
    const auto first_pixel = x_.select(3, 0).select(2, 0);                   // [B, C]
    const auto origin = by_group(first_pixel).select(2, 0).to(at::kDouble);  // [B, G]
    const auto sums = kernels_.moments(x_, by_channel(origin));              // [2, B, C]
    const auto mean = by_group(sums[0]).sum(2) / group_size();               // from origin on
    const auto variance = by_group(sums[1]).sum(2) / group_size() - mean.square();
    return {.mean = origin + mean, .rstd = (variance.clamp_min(0.0) + options_.eps).rsqrt()};
  }

  Tensor forward(const Moments& moments) const {
    return kernels_.normalise(x_, affine(moments), options_.activation);
  }

  struct Gradients {
    Tensor x;       // like x; undefined unless wanted
    Tensor weight;  // [C] float64
    Tensor bias;    // [C] float64
  };

  Gradients backward(const Moments& moments, const Tensor& grad_y, bool wants_x) const {
    const auto grad = grad_y.contiguous(x_.suggest_memory_format());
    const auto table = affine(moments);
    const auto sums = kernels_.gradient_sums(x_, grad, table, options_.activation);
    const auto sum = sums[0];  // of g
    const auto product =
        sums[1] + by_channel(centre(moments) - moments.mean) * sum;  // g (x - mean)
    Gradients found = {
        .x = {}, .weight = (product * by_channel(moments.rstd)).sum(0), .bias = sum.sum(0)};
    if (wants_x) {
      found.x = kernels_.input_gradient(x_, grad, table, through_moments(moments, sum, product),
                                        options_.activation);
    }
    return found;
  }

 private:
  int64_t channels_per_group() const { return x_.size(1) / options_.groups; }
  double group_size() const {
    return static_cast<double>(channels_per_group() * x_.size(2) * x_.size(3));
  }
  Tensor by_group(const Tensor& values) const {  // [B, C] -> [B, G, D]
    return values.reshape({x_.size(0), options_.groups, channels_per_group()});
  }
  Tensor by_channel(const Tensor& values) const {  // [B, G] -> [B, C]
    return values.unsqueeze(2).expand({-1, -1, channels_per_group()}).reshape({x_.size(0), -1});
  }
  Tensor in_compute_type(const Tensor& values) const {
    return values.to(x_.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  }

  /// What the kernels subtract first, [B, G] of values of F. Near a mean above the deviation the
  /// difference is exact; else 0 saves a rounding. What is left of the mean goes into shift and
  /// offset.
  Tensor centre(const Moments& moments) const {
    const auto is_large = moments.mean.abs() * moments.rstd > 1.0;
    return at::where(is_large, in_compute_type(moments.mean).to(at::kDouble), 0.0);
  }

  Tensor affine(const Moments& moments) const {  // [3, B, C] of F
    auto scale = by_channel(moments.rstd);
    if (weight_.defined()) scale = scale * weight_;
    auto shift = by_channel(centre(moments) - moments.mean) * scale;
    if (bias_.defined()) shift = shift + bias_;
    return in_compute_type(at::stack({by_channel(centre(moments)), scale, shift}));
  }

  /// How mean and deviation of a group, which depend on all of x, answer to the gradient:
  ///   dx = rstd * (g w - mean(g w) - xhat * mean(g w xhat)), xhat = (x - mean) * rstd
  /// From sums by channel of g and g (x - mean); offset and slope [2, B, C] of F.
  Tensor through_moments(const Moments& moments, const Tensor& sum, const Tensor& product) const {
    const auto mean_over_group = [&](const Tensor& sums) {  // [B, C] -> [B, G]
      return by_group(weight_.defined() ? sums * weight_ : sums).sum(2) / group_size();
    };
    const auto slope = moments.rstd.pow(3) * mean_over_group(product);
    const auto offset =
        moments.rstd * mean_over_group(sum) + slope * (centre(moments) - moments.mean);
    return in_compute_type(at::stack({by_channel(offset), by_channel(slope)}));
  }

  Tensor x_;       // [B, C, H, W]
  Tensor weight_;  // [C] or undefined
  Tensor bias_;    // [C] or undefined
  GroupNormOptions options_;
  const GroupNormKernels& kernels_;
};

struct GroupNorm : torch::autograd::Function<GroupNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x,
                        const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                        const GroupNormOptions& options) {
    const Normalisation norm(x, weight.value_or(Tensor()), bias.value_or(Tensor()), options);
    const auto moments = norm.moments();
    context->save_for_backward(
        {x, weight.value_or(Tensor()), bias.value_or(Tensor()), moments.mean, moments.rstd});
    context->saved_data["groups"] = options.groups;
    context->saved_data["eps"] = options.eps;
    context->saved_data["silu"] = options.activation == Activation::kSilu;
    return norm.forward(moments);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "group_norm: has no second derivative");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    const Normalisation norm(
        x, weight, bias,
        {.groups = context->saved_data["groups"].toInt(),
         .eps = context->saved_data["eps"].toDouble(),
         .activation =
             context->saved_data["silu"].toBool() ? Activation::kSilu : Activation::kNone});
    const auto found = norm.backward({.mean = saved[3], .rstd = saved[4]}, grad_outputs[0],
                                     context->needs_input_grad(0));
    const auto like = [](const Tensor& gradient, const Tensor& parameter) {
      return parameter.defined() ? gradient.to(parameter.scalar_type()) : Tensor();
    };
    return {found.x, like(found.weight, weight), like(found.bias, bias), Tensor()};
  }
};

}  // namespace

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const GroupNormOptions& options) {
  check(x, weight, bias, options);
  // An undefined tensor would be taken for a variable; an empty optional is not.
  const auto optional = [](const Tensor& parameter) {
    return parameter.defined() ? std::optional(parameter) : std::nullopt;
  };
  return GroupNorm::apply(x, optional(weight), optional(bias), options);
}

}  // namespace gear::ops
