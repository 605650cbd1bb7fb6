#include "gear/losses/adversarial.h"
#include "golden_runner/critics_support.h"
#include "golden_runner/full_model.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {
namespace {

void set_trainable(models::PatchGan& critic, bool trainable) {
  for (auto& parameter : critic->parameters()) parameter.set_requires_grad(trainable);
}

void report_buffers(const std::string& prefix, models::PatchGan& critic, Report& report) {
  for (const auto& item : critic->named_buffers()) report.output(prefix + item.key(), item.value());
}

}  // namespace

Outcome check_disc(const Case& golden, Report& report) {
  models::PatchGan critic(patch_gan_config_from(golden.config()));
  load_weights(*critic, golden.weights());
  const auto real = golden.input("real");
  const auto fake = golden.input("fake").clone().requires_grad_(true);

  critic->eval();
  report.output("eval_logits_real", critic(real));
  report.output("eval_logits_fake", critic(fake));

  // The tokenizer's update: the critic is frozen, but its batch statistics are those of this batch.
  critic->train();
  set_trainable(critic, false);
  const auto generator_logits = critic(fake);
  const auto generator_loss = losses::generator_loss(generator_logits);
  generator_loss.backward();
  report.output("g_logits_fake", generator_logits);
  report.output("g_loss", generator_loss);
  report.grad("g:input:fake", fake.grad());
  critic->commit_statistics();
  report_buffers("after_g.", critic, report);

  // Its own update: real and generated images are separate batches.
  set_trainable(critic, true);
  const auto real_logits = critic(real);
  const auto fake_logits = critic(fake.detach());
  const auto hinge = losses::hinge_discriminator_loss(real_logits, fake_logits);
  hinge.backward();
  report.output("d_logits_real", real_logits);
  report.output("d_logits_fake", fake_logits);
  report.output("d_loss_hinge", hinge);
  critic->commit_statistics();
  report_buffers("after_d.", critic, report);
  for (const auto& item : critic->named_parameters()) report.grad(item.key(), item.value().grad());
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

Outcome check_full_patchgan(const Case& golden, Report& report) {
  models::PatchGan critic(patch_gan_config_from(golden.config()));
  fill_by_formula(*critic, golden);
  const auto image = golden.input("image");
  critic->eval();
  report.output("eval_logits", critic(image));
  critic->train();
  const auto logits = critic(image);
  report.output("train_logits", logits);
  losses::generator_loss(logits).backward();
  report_gradient_norms(*critic, report);
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
