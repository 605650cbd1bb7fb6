#include "gear/train/recipes/tokenizer_learner.h"

#include <ATen/ops/zeros.h>

#include "gear/losses/reconstruction.h"
#include "gear/nn/autocast.h"
#include "gear/train/grad_clip.h"
#include "gear/train/schedule.h"

namespace gear::train {

TokenizerLearner::TokenizerLearner(TokenizerNetworks networks, const RunConfig& config,
                                   Parallel parallel)
    : networks_(std::move(networks)),
      config_(config),
      parallel_(std::move(parallel)),
      tokenizer_(*networks_.tokenizer, parallel_),
      tokenizer_ema_(*networks_.tokenizer_ema, tokenizer_),
      discriminator_(
          networks_.discriminator
              ? std::optional<ShardedNetwork>(std::in_place, *networks_.discriminator, parallel_)
              : std::nullopt),
      tokenizer_optimizer_(tokenizer_.trained("tokenizer"), adamw_options(config.optimizer)),
      discriminator_optimizer_(
          discriminator_ ? discriminator_->trained("discriminator") : std::vector<NamedParameter>{},
          adamw_options(config.optimizer)),
      ema_(tokenizer_.tensors(), tokenizer_ema_.tensors(), config.optimizer.ema_decay,
           networks_.tokenizer->constants()),
      lecam_(config.loss.lecam_decay, networks_.tokenizer->parameters().front().device()) {
  networks_.tokenizer->train();
  networks_.tokenizer_ema->eval();
  tokenizer_optimizer_.average_into(ema_);
  if (networks_.lpips) {
    networks_.lpips->eval();
    set_trainable(*networks_.lpips, false);
  }
  if (networks_.discriminator) {
    networks_.discriminator->train();
    networks_.discriminator->set_world(statistics_world());
  }
  networks_.tokenizer->quantizer().set_world(statistics_world());
  lecam_.set_world(statistics_world());
}

/// Ranks whose batches count as one where a term looks at a batch as a whole. In deterministic mode
/// each micro-batch stands for itself, whatever the number of ranks.
dist::World TokenizerLearner::statistics_world() const {
  return parallel_.config.deterministic ? dist::World() : parallel_.world;
}

void TokenizerLearner::begin_pass(const Pass& pass) {
  ++passes_;
  tokenizer_.begin_pass(pass.last);
  if (discriminator_) discriminator_->begin_pass(pass.last);
}

void TokenizerLearner::finish_pass() {
  tokenizer_.finish_pass();
  if (discriminator_) discriminator_->finish_pass();
}

models::Tokenized TokenizerLearner::forward(const Tensor& images) {
  const nn::AutocastScope autocast(images.device().type(), config_.precision == Precision::kBf16);
  return networks_.tokenizer->forward(images);
}

Tensor TokenizerLearner::pixel_loss(const Tensor& images, const Tensor& reconstruction,
                                    Metrics& metrics) const {
  const auto loss =
      config_.loss.reconstruction *
      losses::reconstruction_loss(reconstruction, images, config_.loss.reconstruction_kind);
  metrics.add("reconstruction_loss", loss);
  return loss;
}

Tensor TokenizerLearner::perceptual_loss(const Tensor& images, const Tensor& reconstruction,
                                         Metrics& metrics) {
  std::vector<Tensor> real;
  {
    const at::NoGradGuard no_grad;  // only the reconstruction needs a gradient
    real = networks_.lpips->features(images);
  }
  const auto distance = networks_.lpips->distance(real, networks_.lpips->features(reconstruction));
  const auto loss = config_.loss.perceptual * distance.mean();
  metrics.add("perceptual_loss", loss);
  return loss;
}

double TokenizerLearner::gan_factor(const StepContext& context) const {
  return losses::discriminator_factor(context.step, config_.loss.gan_start,
                                      config_.loss.gan_factor);
}

Tensor TokenizerLearner::gan_loss(const Tensor& reconstruction, const StepContext& context,
                                  Metrics& metrics) {
  const double weight = gan_factor(context) * config_.loss.gan;
  Tensor loss = at::zeros({}, reconstruction.options().requires_grad(false));
  if (weight > 0.0) {
    set_trainable(*networks_.discriminator, false);  // frozen, yet its batch statistics are used
    loss = losses::generator_loss(networks_.discriminator->forward(reconstruction));
  }
  metrics.add("disc/gan_loss", loss);
  metrics.add("disc/weighted_gan_loss", weight * loss);
  return weight * loss;
}

Tensor TokenizerLearner::quantizer_loss(const models::QuantizerLosses& terms,
                                        Metrics& metrics) const {
  const auto loss = config_.loss.quantizer * terms.total();
  const auto add = [&](const char* name, const Tensor& term) {  // 0 where the family has none
    if (term.defined()) {
      metrics.add(name, term);
    } else {
      metrics.add(name, 0.0);
    }
  };
  add("vq_loss", terms.codebook);
  add("commit_loss", terms.commit);
  add("entropy_loss", terms.entropy);
  metrics.add("sample_entropy", terms.sample_entropy);
  metrics.add("avg_entropy", terms.average_entropy);
  metrics.add("avg_entropy_unbiased", terms.average_entropy_unbiased);
  metrics.add("quantizer_loss", loss);
  return loss;
}

Metrics TokenizerLearner::backward(const Tensor& images, const models::Tokenized& tokenized,
                                   const Tensor& alignment, const StepContext& context,
                                   double scale) {
  const auto& reconstruction = tokenized.reconstruction;
  Metrics metrics;  // in the order of computation: the first bad one is the cause of a bad total
  if (alignment.defined()) metrics.add("proj_loss_vq", alignment);
  auto total = pixel_loss(images, reconstruction, metrics);
  if (networks_.lpips) total = total + perceptual_loss(images, reconstruction, metrics);
  if (networks_.discriminator) total = total + gan_loss(reconstruction, context, metrics);
  total = total + quantizer_loss(tokenized.quantized.losses, metrics);
  metrics.add("total_loss", total);
  if (alignment.defined() && config_.loss.align_tokenizer > 0.0) {
    total = total + config_.loss.align_tokenizer * alignment;
  }
  metrics.add("vq_total", total);

  losses_.add(total, metrics);
  (total * scale).backward();
  return metrics;
}

Metrics TokenizerLearner::backward_discriminator(const Tensor& images, const Tensor& reconstruction,
                                                 const StepContext& context, double scale) {
  Metrics metrics;
  if (!networks_.discriminator) return metrics;
  const double factor = gan_factor(context);
  metrics.add("disc/discriminator_factor", factor);
  if (factor == 0.0 && config_.loss.lecam == 0.0) return metrics;

  set_trainable(*networks_.discriminator, true);
  const auto logits_real = networks_.discriminator->forward(images);
  const auto logits_fake = networks_.discriminator->forward(reconstruction.detach());
  metrics.add("disc/logits_real", logits_real.mean());
  metrics.add("disc/logits_fake", logits_fake.mean());
  auto loss = factor * losses::hinge_discriminator_loss(logits_real, logits_fake);
  if (config_.loss.lecam > 0.0) {
    const auto regulariser = config_.loss.lecam * lecam_(logits_real, logits_fake);
    loss = loss + regulariser;
    metrics.add("disc/lecam_loss", regulariser);
  }
  metrics.add("disc/d_loss", loss);

  losses_.add(loss, metrics);
  (loss * scale).backward();
  return metrics;
}

Metrics TokenizerLearner::clip() {
  tokenizer_.hand_out_gradients();
  if (discriminator_) discriminator_->hand_out_gradients();
  losses_.expect_finite(parallel_.world);
  const auto clipped = [&](AdamW& optimizer, const ShardedNetwork& network) {
    return clip_and_check(optimizer, network.gradient_norms(), config_.optimizer.max_grad_norm,
                          parallel_.world);
  };
  Metrics metrics;
  metrics.add("grad_norm_vq", clipped(tokenizer_optimizer_, tokenizer_));
  if (discriminator_) {
    metrics.add("disc/grad_norm", clipped(discriminator_optimizer_, *discriminator_));
  }
  return metrics;
}

Metrics TokenizerLearner::update(const StepContext& context) {
  const OptimizerConfig& options = config_.optimizer;
  const auto rate = [&](double base, int64_t updates_done) {
    return scheduled_lr(options, base, updates_done, config_.steps);
  };
  // The logged rates are those of the next update, as the published code logs them.
  Metrics metrics;
  tokenizer_optimizer_.step(rate(options.tokenizer_lr, context.step));
  tokenizer_optimizer_.zero_grad();
  metrics.add("lr/vq", rate(options.tokenizer_lr, context.step + 1));
  if (networks_.discriminator) {
    discriminator_optimizer_.step(rate(options.discriminator_lr, context.step));
    discriminator_optimizer_.zero_grad();
    metrics.add("lr/disc", rate(options.discriminator_lr, context.step + 1));
  }
  commit_statistics();
  ema_.update();
  state_loaded();
  return metrics;
}

void TokenizerLearner::commit_statistics() {
  const dist::World others = parallel_.config.deterministic ? parallel_.world : dist::World();
  if (networks_.discriminator) networks_.discriminator->commit_statistics(others, passes_);
  lecam_.commit(others, passes_);
  passes_ = 0;
}

void TokenizerLearner::discard_step() {
  losses_.discard();
  tokenizer_optimizer_.zero_grad();
  discriminator_optimizer_.zero_grad();
  tokenizer_.discard_gradients();
  if (discriminator_) discriminator_->discard_gradients();
  if (networks_.discriminator) networks_.discriminator->discard_statistics();
  lecam_.discard();
  passes_ = 0;
}

void TokenizerLearner::state_loaded() {
  tokenizer_.spread_update();
  if (discriminator_) discriminator_->spread_update();
}

void TokenizerLearner::open_networks() {
  tokenizer_.open();
  tokenizer_ema_.open();
}

void TokenizerLearner::close_networks() {
  tokenizer_.close();
  tokenizer_ema_.close();
}

std::vector<TensorGroup> TokenizerLearner::state() {
  std::vector<TensorGroup> groups = {tokenizer_.state("tokenizer"),
                                     tokenizer_ema_.state("tokenizer_ema")};
  groups.push_back(tokenizer_optimizer_.state("optimizer_tokenizer"));
  tokenizer_.place_moments("tokenizer", groups.back());
  if (discriminator_) {
    groups.push_back(discriminator_->state("discriminator"));
    groups.push_back(discriminator_optimizer_.state("optimizer_discriminator"));
    discriminator_->place_moments("discriminator", groups.back());
  }
  if (config_.loss.lecam > 0.0) {
    groups.push_back({"lecam", {{"real", lecam_.real_average}, {"fake", lecam_.fake_average}}});
  }
  return groups;
}

std::vector<NamedParameter> TokenizerLearner::parameters() const {
  auto parameters = tokenizer_optimizer_.parameters();
  const auto& more = discriminator_optimizer_.parameters();
  parameters.insert(parameters.end(), more.begin(), more.end());
  return parameters;
}

std::shared_ptr<models::Tokenizer> TokenizerLearner::network(bool ema) const {
  return ema ? networks_.tokenizer_ema : networks_.tokenizer;
}

}  // namespace gear::train
