#include "gear/losses/adversarial.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>

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
  const auto real_mean = nn::to_full_precision(real_logits).mean();
  const auto fake_mean = nn::to_full_precision(fake_logits).mean();
  // Copies: the update below works in place, and the backward pass comes after it.
  const auto real_before = real_average.clone();
  const auto fake_before = fake_average.clone();
  const auto loss = at::relu(real_mean - fake_before).square() +
                    at::relu(real_before - fake_mean).square();  // [1]
  update_average(real_average, real_mean, decay_);
  update_average(fake_average, fake_mean, decay_);
  return loss.squeeze(0);
}

}  // namespace gear::losses
