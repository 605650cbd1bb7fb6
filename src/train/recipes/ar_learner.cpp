#include "gear/train/recipes/ar_learner.h"

#include "gear/core/random.h"
#include "gear/losses/alignment.h"
#include "gear/losses/next_token.h"
#include "gear/nn/autocast.h"
#include "gear/train/grad_clip.h"
#include "gear/train/schedule.h"

namespace gear::train {

ArLearner::ArLearner(ArNetworks networks, const RunConfig& config, Parallel parallel)
    : networks_(std::move(networks)),
      config_(config),
      parallel_(std::move(parallel)),
      ar_(*networks_.ar, parallel_),
      ar_ema_(*networks_.ar_ema, ar_),
      projector_(networks_.projector
                     ? std::optional<ShardedNetwork>(std::in_place, *networks_.projector, parallel_)
                     : std::nullopt),
      optimizer_(trained(), adamw_options(config.optimizer)),
      ema_(ar_.tensors(), ar_ema_.tensors(), config.optimizer.ema_decay) {
  networks_.ar_ema->eval();
  optimizer_.average_into(ema_);
}

std::vector<NamedParameter> ArLearner::trained() const {
  auto parameters = ar_.trained("ar");
  if (projector_) {
    const auto more = projector_->trained("projector");
    parameters.insert(parameters.end(), more.begin(), more.end());
  }
  return parameters;
}

void ArLearner::begin_pass(const Pass& pass) {
  ar_.begin_pass(pass.last);
  if (projector_) projector_->begin_pass(pass.last);
}

void ArLearner::finish_pass() {
  ar_.finish_pass();
  if (projector_) projector_->finish_pass();
}

Tensor ArLearner::soft_alignment(const ops::Costs& costs, const Tensor& labels,
                                 const std::vector<Tensor>& targets) {
  set_trainable(*networks_.ar, false);
  set_trainable(*networks_.projector, false);
  networks_.ar->eval();
  const bool bfloat16 = config_.precision == Precision::kBf16;
  const nn::AutocastScope autocast(labels.device().type(), bfloat16);
  const auto tokens =
      networks_.ar->embed_soft(costs, {.temperature = config_.loss.temperature,
                                       .straight_through = config_.loss.readout == Readout::kSte,
                                       .bfloat16_products = bfloat16});  // [B * N, D]
  const auto by_image = tokens.view({labels.size(0), -1, tokens.size(1)});
  const auto inputs = by_image.slice(1, 0, by_image.size(1) - 1);  // the last is never an input
  const auto output =
      networks_.ar->forward(labels, inputs, {.tap = config_.loss.tap, .early_exit = true});
  return losses::alignment_loss(networks_.projector->forward(output.tap_hidden), targets);
}

Metrics ArLearner::backward(const Tensor& ids, const Tensor& labels,
                            const std::vector<Tensor>& targets, double scale) {
  set_trainable(*networks_.ar, true);
  networks_.ar->train();
  const bool aligned = !targets.empty();
  if (aligned) set_trainable(*networks_.projector, true);

  Tensor total;
  Metrics metrics;
  {
    const nn::AutocastScope autocast(ids.device().type(), config_.precision == Precision::kBf16);
    const auto inputs = ids.slice(1, 0, ids.size(1) - 1);  // [B, N - 1]
    const auto output =
        networks_.ar->forward(labels, networks_.ar->embed_ids(inputs),
                              {.tap = aligned ? config_.loss.tap : 0, .head = false});
    const auto ce_loss =
        losses::next_token_loss(output.features, networks_.ar->output->weight, ids);
    total = ce_loss;
    metrics.add("ce_loss", ce_loss);
    if (aligned) {
      const auto align =
          losses::alignment_loss(networks_.projector->forward(output.tap_hidden), targets);
      total = total + config_.loss.align_ar * align;
      metrics.add("proj_loss_ar", align);
    }
    metrics.add("ar_total", total);
  }
  losses_.add(total, metrics);
  (total * scale).backward();
  return metrics;
}

Metrics ArLearner::clip() {
  ar_.hand_out_gradients();
  auto norms = ar_.gradient_norms();
  if (projector_) {
    projector_->hand_out_gradients();
    const auto more = projector_->gradient_norms();
    norms.insert(norms.end(), more.begin(), more.end());
  }
  losses_.expect_finite(parallel_.world);
  Metrics metrics;
  metrics.add("grad_norm_ar",
              clip_and_check(optimizer_, norms, config_.optimizer.max_grad_norm, parallel_.world));
  return metrics;
}

void ArLearner::discard_step() {
  losses_.discard();
  optimizer_.zero_grad();
  ar_.discard_gradients();
  if (projector_) projector_->discard_gradients();
}

Metrics ArLearner::update(const StepContext& context) {
  const auto rate = [&](int64_t updates_done) {
    return scheduled_lr(config_.optimizer, config_.optimizer.ar_lr, updates_done, config_.steps);
  };
  optimizer_.step(rate(context.step));
  optimizer_.zero_grad();
  ema_.update();
  ar_.spread_update();
  if (projector_) projector_->spread_update();
  Metrics metrics;
  metrics.add("lr/ar", rate(context.step + 1));  // of the next update, as published code logs it
  return metrics;
}

Tensor ArLearner::drop_labels(const data::Batch& batch, const StepContext& context) const {
  if (config_.ar.class_dropout == 0.0) return batch.labels;
  const int64_t count = batch.labels.size(0);
  TORCH_CHECK(static_cast<int64_t>(batch.sample_ids.size()) == count,
              "ArLearner::drop_labels: ", batch.sample_ids.size(), " sample_ids for ", count,
              " labels");
  const auto drop = at::empty({count}, at::kBool);
  bool* values = drop.data_ptr<bool>();
  for (size_t i = 0; i < batch.sample_ids.size(); ++i) {
    RandomStream stream(stream_seed(static_cast<uint64_t>(config_.seed), "class_dropout",
                                    static_cast<uint64_t>(context.step),
                                    static_cast<uint64_t>(batch.sample_ids[i])));
    values[i] = stream.bernoulli(config_.ar.class_dropout);
  }
  return networks_.ar->drop_labels(batch.labels, drop.to(batch.labels.device()));
}

std::vector<TensorGroup> ArLearner::state() {
  std::vector<TensorGroup> groups = {ar_.state("ar"), ar_ema_.state("ar_ema")};
  groups.push_back(optimizer_.state("optimizer_ar"));
  ar_.place_moments("ar", groups.back());
  if (projector_) {
    projector_->place_moments("projector", groups.back());
    groups.push_back(projector_->state("projector"));
  }
  return groups;
}

void ArLearner::state_loaded() {
  ar_.spread_update();
  if (projector_) projector_->spread_update();
}

void ArLearner::open_networks() {
  ar_.open();
  ar_ema_.open();
}

void ArLearner::close_networks() {
  ar_.close();
  ar_ema_.close();
}

models::ArModel ArLearner::network(bool ema) const { return ema ? networks_.ar_ema : networks_.ar; }

}  // namespace gear::train
