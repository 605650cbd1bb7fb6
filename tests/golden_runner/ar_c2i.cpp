// Kind ar_c2i: the class-conditional transformer with teacher forcing, hard and soft inputs.

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/one_hot.h>

#include <cmath>

#include "gear/models/ar/ar_model.h"
#include "gear/nn/rotary.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"

// B batch, L tokens per image, K codes, D model width

namespace gear::golden {
namespace {

at::Tensor all_but_last(const at::Tensor& tokens) {
  return tokens.narrow(1, 0, tokens.size(1) - 1);
}

void check_labels(const Case& golden, Report& report, models::ArModel& ar) {
  const auto dropped =
      ar->drop_labels(golden.input("cond_idx"), golden.input("force_drop_ids") == 1);
  report.output("dropped_labels", dropped);
  report.output("cls_embedding_forced", ar->cls_embedding(dropped));
}

void check_rotary(Report& report, const models::ArConfig& config) {
  report.output("freqs_cis", nn::rotary_table({.prefix = 1,
                                               .side = std::lround(std::sqrt(config.num_tokens)),
                                               .head_dim = config.head_dim(),
                                               .base = config.rope_base}));
}

/// Next-token loss of the hard path with its gradients.
void check_hard(const Case& golden, Report& report, models::ArModel& ar) {
  const auto labels =
      ar->drop_labels(golden.input("cond_idx"), golden.input("force_drop_ids") == 1);
  const auto targets = golden.input("targets");  // [B, L]
  const int64_t tap = golden.config().at("encoder_depth");
  const auto found = ar->forward(labels, ar->embed_ids(all_but_last(targets)), {.tap = tap});
  const auto per_token = at::cross_entropy_loss(found.logits.transpose(1, 2), targets, {},
                                                at::Reduction::None);  // [B, L]
  const auto loss = per_token.mean();
  loss.backward();
  report.output("logits", found.logits);
  report.output("hidden_at_tap", found.tap_hidden);
  report.output("ce_per_token", per_token);
  report.output("ce_loss", loss);
  for (const auto& item : ar->named_parameters()) report.grad(item.key(), item.value().grad());
}

/// Soft inputs, labels as given; the early exit must not change the tapped state.
void check_soft(const Case& golden, Report& report, models::ArModel& ar) {
  const auto labels = golden.input("cond_idx");
  const int64_t tap = golden.config().at("encoder_depth");
  const auto soft = golden.input("soft").clone().requires_grad_();  // [B, L, K]
  const auto& table = ar->tok_embeddings->weight;
  report.output("soft_embeds", at::matmul(soft, table));

  const auto embeddings = at::matmul(all_but_last(soft), table);
  const auto full = ar->forward(labels, embeddings, {.tap = tap});
  const auto early = ar->forward(labels, embeddings, {.tap = tap, .early_exit = true});
  report.output("soft_logits", full.logits);
  report.output("soft_hidden_at_tap", full.tap_hidden);
  report.expect("early exit gives the tapped state of the full pass",
                full.tap_hidden.equal(early.tap_hidden) && !early.logits.defined());
  (early.tap_hidden * golden.input("tap_weight")).mean().backward();
  report.grad("input:soft", soft.grad());
}

void check_one_hot(const Case& golden, Report& report, models::ArModel& ar) {
  const auto labels = golden.input("cond_idx");
  const auto ids = all_but_last(golden.input("targets"));
  const auto one_hot = at::one_hot(ids, ar->config().vocab_size).to(at::kFloat);
  const auto from_ids = ar->forward(labels, ar->embed_ids(ids));
  const auto from_soft = ar->forward(labels, at::matmul(one_hot, ar->tok_embeddings->weight));
  report.output("onehot_minus_index_maxabs", (from_ids.logits - from_soft.logits).abs().max());
}

}  // namespace

Outcome check_ar_c2i(const Case& golden, Report& report) {
  const auto config = ar_config_from(golden.config().at("ModelArgs"));
  models::ArModel ar(config);
  load_weights(*ar, golden.weights());
  ar->train();  // the case has every drop probability of the network at 0
  check_labels(golden, report, ar);
  check_rotary(report, config);
  check_hard(golden, report, ar);
  check_soft(golden, report, ar);
  check_one_hot(golden, report, ar);
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
