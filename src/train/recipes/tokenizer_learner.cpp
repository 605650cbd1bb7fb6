#include "gear/train/recipes/tokenizer_learner.h"

#include "gear/losses/reconstruction.h"
#include "gear/nn/autocast.h"
#include "gear/train/grad_clip.h"
#include "gear/train/recipes/micro_batches.h"
#include "gear/train/schedule.h"

namespace gear::train {

TokenizerLearner::TokenizerLearner(TokenizerNetworks networks, const RunConfig& config)
    : networks_(std::move(networks)),
      config_(config),
      tokenizer_optimizer_(trainable_parameters(*networks_.tokenizer, "tokenizer"),
                           adamw_options(config.optimizer)),
      discriminator_optimizer_(networks_.discriminator
                                   ? trainable_parameters(*networks_.discriminator, "discriminator")
                                   : std::vector<NamedParameter>{},
                               adamw_options(config.optimizer)),
      ema_(*networks_.tokenizer, *networks_.tokenizer_ema, config.optimizer.ema_decay),
      lecam_(config.loss.lecam_decay) {
  networks_.tokenizer->train();
  networks_.tokenizer_ema->eval();
  if (networks_.lpips) {
    networks_.lpips->eval();
    set_trainable(*networks_.lpips, false);
  }
  if (networks_.discriminator) networks_.discriminator->train();
}

models::Tokenized TokenizerLearner::forward(const Tensor& images) {
  const nn::AutocastScope autocast(images.device().type(), config_.precision == Precision::kBf16);
  return networks_.tokenizer->forward(images);
}

std::vector<Tensor> TokenizerLearner::real_features(const Tensor& images) {
  const at::NoGradGuard no_grad;  // only the reconstruction needs a gradient
  return networks_.lpips->features(images);
}

Metrics TokenizerLearner::backward(const Tensor& images, const models::Tokenized& tokenized,
                                   const Tensor& extra_loss, const StepContext& context,
                                   double scale) {
  const LossConfig& weights = config_.loss;
  const auto& reconstruction = tokenized.reconstruction;
  Metrics metrics;

  const auto pixel_loss = losses::reconstruction_loss(reconstruction, images, weights.reconstruction_kind);
  auto total = weights.reconstruction * pixel_loss;
  metrics.add("reconstruction_loss", weights.reconstruction * pixel_loss);

  if (networks_.lpips) {
    const auto perceptual_loss = networks_.lpips
                                     ->distance(real_features(images),
                                                networks_.lpips->features(reconstruction))
                                     .mean();
    total = total + weights.perceptual * perceptual_loss;
    metrics.add("perceptual_loss", weights.perceptual * perceptual_loss);
  }

  const double factor = losses::discriminator_factor(context.step, weights.gan_start);
  if (networks_.discriminator && factor > 0.0) {
    set_trainable(*networks_.discriminator, false);  // frozen, yet its batch statistics are used
    const auto gan_loss = losses::generator_loss(networks_.discriminator->forward(reconstruction));
    total = total + factor * weights.gan * gan_loss;
    metrics.add("disc/gan_loss", gan_loss);
    metrics.add("disc/weighted_gan_loss", factor * weights.gan * gan_loss);
  }

  const auto& quantizer = tokenized.quantized.losses;
  const auto quantizer_loss = quantizer.codebook + quantizer.commit + quantizer.entropy;
  total = total + weights.quantizer * quantizer_loss;
  metrics.add("quantizer_loss", weights.quantizer * quantizer_loss);
  metrics.add("vq_loss", quantizer.codebook);
  metrics.add("commit_loss", quantizer.commit);
  metrics.add("entropy_loss", quantizer.entropy);
  metrics.add("sample_entropy", quantizer.sample_entropy);
  metrics.add("avg_entropy", quantizer.average_entropy);

  metrics.add("total_loss", total);
  if (extra_loss.defined()) total = total + extra_loss;
  metrics.add("vq_total", total);

  expect_finite_loss(total, "vq_total (tokenizer)");
  (total * scale).backward();
  return metrics;
}

Metrics TokenizerLearner::backward_discriminator(const Tensor& images, const Tensor& reconstruction,
                                                 const StepContext& context, double scale) {
  Metrics metrics;
  if (!networks_.discriminator) return metrics;
  const double factor = losses::discriminator_factor(context.step, config_.loss.gan_start);
  metrics.add("disc/discriminator_factor", factor);
  if (factor == 0.0 && config_.loss.lecam == 0.0) return metrics;

  set_trainable(*networks_.discriminator, true);
  const auto logits_real = networks_.discriminator->forward(images);
  const auto logits_fake = networks_.discriminator->forward(reconstruction.detach());
  auto loss = factor * losses::hinge_discriminator_loss(logits_real, logits_fake);
  if (config_.loss.lecam > 0.0) {
    const auto regulariser = config_.loss.lecam * lecam_(logits_real, logits_fake);
    loss = loss + regulariser;
    metrics.add("disc/lecam_loss", regulariser);
  }
  metrics.add("disc/d_loss", loss);
  metrics.add("disc/logits_real", logits_real.mean());
  metrics.add("disc/logits_fake", logits_fake.mean());

  expect_finite_loss(loss, "disc/d_loss (discriminator)");
  (loss * scale).backward();
  return metrics;
}

Metrics TokenizerLearner::clip() {
  Metrics metrics;
  metrics.add("grad_norm_vq", clip_and_check(tokenizer_optimizer_.parameters(),
                                             config_.optimizer.max_grad_norm));
  if (networks_.discriminator) {
    metrics.add("disc/grad_norm", clip_and_check(discriminator_optimizer_.parameters(),
                                                 config_.optimizer.max_grad_norm));
  }
  return metrics;
}

Metrics TokenizerLearner::update(const StepContext& context) {
  const OptimizerConfig& options = config_.optimizer;
  const auto rate = [&](double base, int64_t updates_done) {
    return scheduled_lr(options, base, updates_done, config_.steps);
  };
  Metrics metrics;  // the logged rates are those of the next update, as the published code logs them
  tokenizer_optimizer_.step(rate(options.tokenizer_lr, context.step));
  tokenizer_optimizer_.zero_grad();
  metrics.add("lr/vq", rate(options.tokenizer_lr, context.step + 1));
  if (networks_.discriminator) {
    discriminator_optimizer_.step(rate(options.discriminator_lr, context.step));
    discriminator_optimizer_.zero_grad();
    metrics.add("lr/disc", rate(options.discriminator_lr, context.step + 1));
  }
  ema_.update();
  return metrics;
}

std::vector<TensorGroup> TokenizerLearner::state() {
  std::vector<TensorGroup> groups = {
      module_group("tokenizer", *networks_.tokenizer),
      module_group("tokenizer_ema", *networks_.tokenizer_ema),
      tokenizer_optimizer_.state("optimizer_tokenizer"),
  };
  if (networks_.discriminator) {
    groups.push_back(module_group("discriminator", *networks_.discriminator));
    groups.push_back(discriminator_optimizer_.state("optimizer_discriminator"));
  }
  if (config_.loss.lecam > 0.0) {
    groups.push_back({"lecam", {{"real", lecam_.real_average}, {"fake", lecam_.fake_average}}});
  }
  return groups;
}

std::shared_ptr<models::Tokenizer> TokenizerLearner::network(bool ema) const {
  return ema ? networks_.tokenizer_ema : networks_.tokenizer;
}

}  // namespace gear::train
