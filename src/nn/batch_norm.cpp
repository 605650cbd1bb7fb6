#include "gear/nn/batch_norm.h"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/var_mean.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <utility>

#include "gear/dist/pass_order.h"

namespace gear::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct HeldWorld : torch::CustomClassHolder {
  explicit HeldWorld(dist::World held) : world(std::move(held)) {}
  dist::World world;
};

Tensor per_channel(const Tensor& x) { return x.view({1, -1, 1, 1}); }
Tensor sum_of_channels(const Tensor& x) { return x.sum({0, 2, 3}); }

/// Mean and biased variance of all ranks' batches, [C] each.
std::pair<Tensor, Tensor> global_statistics(const Tensor& x, const dist::World& world) {
  const auto [variance, mean] = at::var_mean(x, {0, 2, 3}, /*unbiased=*/false);
  const auto all = world.stack(at::stack({mean, variance}));  // [W, 2, C]
  const auto global_mean = all.select(1, 0).mean(0);
  // Of parts of equal size: the mean of their variances and the variance of their means.
  const auto global_variance =
      all.select(1, 1).mean(0) + (all.select(1, 0) - global_mean).square().mean(0);
  return {global_mean, global_variance};
}

/// x normalised and scaled. The gradient of a batch goes through the statistics of all.
struct SynchronisedNorm : torch::autograd::Function<SynchronisedNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const Tensor& mean, const Tensor& inverse_deviation,
                        const c10::intrusive_ptr<HeldWorld>& held) {
    context->save_for_backward({x, weight, mean, inverse_deviation});
    context->saved_data["world"] = c10::IValue::make_capsule(held);
    const auto scale = weight * inverse_deviation;
    return x * per_channel(scale) + per_channel(bias - mean * scale);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto& [x, weight, mean, inverse_deviation] =
        std::tie(saved[0], saved[1], saved[2], saved[3]);
    const auto held =
        c10::static_intrusive_pointer_cast<HeldWorld>(context->saved_data.at("world").toCapsule());
    const Tensor& gradient = gradients[0];
    const auto normed = (x - per_channel(mean)) * per_channel(inverse_deviation);
    const auto bias_gradient = sum_of_channels(gradient);
    const auto weight_gradient = sum_of_channels(gradient * normed);
    const auto means = at::stack({bias_gradient, weight_gradient});  // [2, C]
    held->world.mean(means);
    means.div_(x.numel() / x.size(1));
    const auto centred =
        gradient - per_channel(means.select(0, 0)) - normed * per_channel(means.select(0, 1));
    return {centred * per_channel(weight * inverse_deviation),
            weight_gradient,
            bias_gradient,
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

}  // namespace

BatchNorm2dImpl::BatchNorm2dImpl(int64_t channels, double eps, double momentum)
    : weight(register_parameter("weight", at::ones({channels}))),
      bias(register_parameter("bias", at::zeros({channels}))),
      running_mean(register_buffer("running_mean", at::zeros({channels}))),
      running_var(register_buffer("running_var", at::ones({channels}))),
      num_batches_tracked(register_buffer("num_batches_tracked", at::zeros({}, at::kLong))),
      eps_(eps),
      momentum_(momentum) {}

Tensor BatchNorm2dImpl::forward(const Tensor& x) {
  if (!is_training()) {
    return at::batch_norm(x, weight, bias, running_mean, running_var, /*training=*/false, momentum_,
                          eps_, /*cudnn_enabled=*/true);
  }
  if (world_.is_single()) {
    const auto mean = at::zeros_like(running_mean);
    const auto variance = at::zeros_like(running_var);
    // With a momentum of 1 the running statistics are those of the batch.
    auto normed = at::batch_norm(x, weight, bias, mean, variance, /*training=*/true,
                                 /*momentum=*/1.0, eps_, /*cudnn_enabled=*/true);
    pending_.push_back(at::stack({mean, variance}));
    return normed;
  }
  const auto [mean, variance] = global_statistics(x.detach(), world_);
  const auto count = static_cast<double>(x.numel() / x.size(1) * world_.size());
  pending_.push_back(at::stack({mean, variance * (count / (count - 1.0))}));
  return SynchronisedNorm::apply(x, weight, bias, mean, at::rsqrt(variance + eps_),
                                 c10::make_intrusive<HeldWorld>(world_));
}

void BatchNorm2dImpl::commit(const dist::World& ranks, int64_t passes) {
  const at::NoGradGuard no_grad;
  const auto statistics = dist::in_pass_order(pending_, passes, ranks);
  for (const Tensor& batch : statistics) {
    running_mean.mul_(1.0 - momentum_).add_(batch.select(0, 0), momentum_);
    running_var.mul_(1.0 - momentum_).add_(batch.select(0, 1), momentum_);
  }
  num_batches_tracked.add_(static_cast<int64_t>(statistics.size()));
  discard();
}

}  // namespace gear::nn
