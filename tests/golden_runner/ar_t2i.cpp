// Kind ar_t2i: the text-conditional transformer with teacher forcing, and cached greedy decoding.

#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>

#include <cmath>

#include "gear/models/ar/ar_model.h"
#include "gear/nn/rotary.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"
#include "golden_runner/sample_run.h"

// B batch, T caption positions, L tokens per image, K codes, D model width

namespace gear::golden {
namespace {

struct Inputs {
  models::TextCondition text;
  at::Tensor targets;  // [B, L]
  at::Tensor given;    // [B, L - 1]
};

Inputs inputs_of(const Case& golden) {
  const auto targets = golden.input("targets");
  return {.text = {golden.input("cond_emb"), golden.input("text_mask")},
          .targets = targets,
          .given = targets.narrow(1, 0, targets.size(1) - 1)};
}

at::Tensor mask_of(const models::ArModel& ar, const Inputs& inputs) {
  return models::text_attention_mask(inputs.text.valid, inputs.given.size(1),
                                     ar->config().text->attention);
}

/// The residual stream after block `tap` at the text positions as well, which the network does not
/// hand out: [B, T + L - 1, D].
at::Tensor tapped_sequence(models::ArModel& ar, const Inputs& inputs, int64_t tap) {
  const auto& config = ar->config();
  const auto rotary = nn::rotary_table({.prefix = config.text->tokens,
                                        .side = std::lround(std::sqrt(config.num_tokens)),
                                        .head_dim = config.head_dim(),
                                        .base = config.rope_base});
  auto h = at::cat({ar->caption_embedding(inputs.text.features), ar->embed_ids(inputs.given)}, 1);
  const models::ArPositions positions = {.rotary = rotary.narrow(0, 0, h.size(1)),
                                         .mask = mask_of(ar, inputs),
                                         .text = config.text->tokens};
  for (int64_t i = 0; i < tap; ++i) {
    h = ar->layers->ptr<models::ArBlockImpl>(static_cast<size_t>(i))->forward(h, positions);
  }
  return h;
}

void check_training(const Case& golden, Report& report, models::ArModel& ar) {
  const Inputs inputs = inputs_of(golden);
  const int64_t tap = golden.config().at("encoder_depth");
  report.output("caption_tokens", ar->caption_embedding(inputs.text.features));
  report.output("attn_mask", mask_of(ar, inputs));

  const auto found = ar->forward(inputs.text, ar->embed_ids(inputs.given), {.tap = tap});
  const auto loss = at::cross_entropy_loss(found.logits.flatten(0, 1), inputs.targets.flatten());
  loss.backward();
  report.output("logits", found.logits);
  report.output("ce_loss", loss);
  for (const auto& item : ar->named_parameters()) report.grad(item.key(), item.value().grad());

  const auto sequence = tapped_sequence(ar, inputs, tap);
  report.output("hidden_at_tap", sequence);
  report.expect("the tap is the tail of the sequence from the last text position",
                sequence.narrow(1, ar->config().prefix() - 1, inputs.targets.size(1))
                    .equal(found.tap_hidden));

  const models::TextCondition unmasked = {inputs.text.features, {}};
  report.output("logits_no_mask", ar->forward(unmasked, ar->embed_ids(inputs.given)).logits);
}

}  // namespace

Outcome check_ar_t2i(const Case& golden, Report& report) {
  models::ArModel ar(ar_config_from(golden.config().at("ModelArgs")));
  load_weights(*ar, golden.weights());
  ar->train();  // the case has every drop probability of the network at 0
  check_training(golden, report, ar);
  const sample::TextPrompt prompt = {
      .text = {golden.input("cond_emb"), golden.input("text_mask")},
      .empty = {golden.input("uncond_emb"), golden.input("uncond_mask")}};
  for (const auto& run : golden.config().at("runs")) {
    check_sample_run(report, run, [&](const auto& options, const auto& observer) {
      return sample::generate_tokens(ar, prompt, options, observer);
    });
  }
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
