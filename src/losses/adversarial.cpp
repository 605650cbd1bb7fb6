#include "gear/losses/adversarial.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "gear/dist/global_mean.h"
#include "gear/dist/pass_order.h"
#include "gear/nn/autocast.h"

namespace gear::losses {
namespace {

void update_average(Tensor& average, const Tensor& mean, double decay) {
  const at::NoGradGuard no_grad;
  average.mul_(decay).add_(mean, 1.0 - decay);
}

}  // namespace

double discriminator_factor(int64_t step, int64_t start, double factor) {
  return step < start ? 0.0 : factor;
}

Tensor generator_loss(const Tensor& fake_logits) {
  return -nn::to_full_precision(fake_logits).mean();
}

Tensor hinge_discriminator_loss(const Tensor& real_logits, const Tensor& fake_logits) {
  const auto real = at::relu(1.0 - nn::to_full_precision(real_logits)).mean();
  const auto fake = at::relu(1.0 + nn::to_full_precision(fake_logits)).mean();
  return 0.5 * (real + fake);
}

LeCam::LeCam(double decay, at::Device device)
    : real_average(at::zeros({1}, device)), fake_average(at::zeros({1}, device)), decay_(decay) {}

Tensor LeCam::operator()(const Tensor& real_logits, const Tensor& fake_logits) {
  const auto real_mean = dist::global_mean(nn::to_full_precision(real_logits).mean(), world_);
  const auto fake_mean = dist::global_mean(nn::to_full_precision(fake_logits).mean(), world_);
  pending_.push_back(at::stack({real_mean.detach(), fake_mean.detach()}));
  // Copies: commit() works in place, maybe before the backward pass.
  const auto loss = at::relu(real_mean - fake_average.clone()).square() +
                    at::relu(real_average.clone() - fake_mean).square();  // [1]
  return loss.squeeze(0);
}

void LeCam::commit(const dist::World& ranks, int64_t passes) {
  for (const Tensor& means : dist::in_pass_order(pending_, passes, ranks)) {
    update_average(real_average, means[0], decay_);
    update_average(fake_average, means[1], decay_);
  }
  discard();
}

}  // namespace gear::losses
