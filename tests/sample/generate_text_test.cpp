#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/sample/generate.h"
#include "models/error_message.h"
#include "models/text_network.h"

// B images, T caption positions, L tokens per image, K codes

namespace gear::sample {
namespace {

using models::message_of;
using models::TextAttention;

models::ArModel network(TextAttention attention = TextAttention::kCausal) {
  return models::text_network(models::text_config(attention));
}

/// Three captions, and the empty text once for all: nothing of it is valid.
TextPrompt some_prompt(const models::ArConfig& config) {
  return {.text = models::some_text(config),
          .empty = {at::randn({1, config.text->tokens, config.text->dim}),
                    at::zeros({1, config.text->tokens}, at::kLong)}};
}

models::TextCondition for_each_image(const models::TextCondition& one, int64_t images) {
  return {one.features.expand({images, -1, -1}), one.valid.expand({images, -1})};
}

/// Logits [B, L, K] of the parallel pass over these tokens.
Tensor parallel_logits(models::ArModel model, const models::TextCondition& text,
                       const Tensor& tokens) {
  const at::NoGradGuard no_grad;
  const auto inputs = tokens.narrow(1, 0, tokens.size(1) - 1);
  return model->forward(text, model->embed_ids(inputs)).logits;
}

TEST(GenerateFromText, GreedyTokensAreThoseOfTheParallelPass) {
  for (const auto attention : {TextAttention::kCausal, TextAttention::kPrefix}) {
    auto model = network(attention);
    const auto prompt = some_prompt(model->config());
    const auto tokens = generate_tokens(model, prompt, {.greedy = true});
    EXPECT_TRUE(parallel_logits(model, prompt.text, tokens).argmax(-1).equal(tokens));
    EXPECT_FALSE(tokens[0].equal(tokens[1]));
  }
}

TEST(GenerateFromText, GuidanceIntervalEndsWithConditionalLogitsAlone) {
  for (const auto attention : {TextAttention::kCausal, TextAttention::kPrefix}) {
    auto model = network(attention);
    const auto prompt = some_prompt(model->config());
    std::vector<Tensor> steps;
    const auto tokens =
        generate_tokens(model, prompt, {.cfg = 3.0, .cfg_interval = 2, .seed = 4},
                        [&](int64_t, const Tensor& logits) { steps.push_back(logits.clone()); });
    const auto c = parallel_logits(model, prompt.text, tokens);
    const auto u = parallel_logits(model, for_each_image(prompt.empty, 3), tokens);
    auto expected = c.clone();
    expected.narrow(1, 0, 4).copy_((u + 3.0 * (c - u)).narrow(1, 0, 4));  // tokens 0..2 + 1
    EXPECT_LE((at::stack(steps, 1) - expected).abs().max().item<double>(), 1e-4);
  }
}

TEST(GenerateFromText, BatchesDoNotChangeTheTokens) {
  auto model = network();
  const auto prompt = some_prompt(model->config());
  SampleOptions options = {.cfg = 2.0, .seed = 11};
  const auto together = generate_tokens(model, prompt, options);
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < 3; ++i) {
    options.first_image = i;
    const TextPrompt one = {
        .text = {prompt.text.features.narrow(0, i, 1), prompt.text.valid.narrow(0, i, 1)},
        .empty = prompt.empty};
    parts.push_back(generate_tokens(model, one, options));
  }
  EXPECT_TRUE(together.equal(at::cat(parts)));
}

TEST(GenerateFromText, RoundedWeightsAndCacheWorkWithMasks) {
  auto model = network(TextAttention::kPrefix);
  const auto prompt = some_prompt(model->config());
  for (const auto format : {ops::WeightFormat::kBfloat16, ops::WeightFormat::kInt8}) {
    std::vector<Tensor> steps;
    const auto tokens =
        generate_tokens({model, format}, prompt, {},
                        [&](int64_t, const Tensor& logits) { steps.push_back(logits); });
    const auto expected = parallel_logits(model, prompt.text, tokens);
    // What rounding itself does after three blocks; ar_decoder_test compares with rounded weights
    // exactly.
    EXPECT_LE(
        (at::stack(steps, 1) - expected).abs().max().item<double>(),
        (format == ops::WeightFormat::kInt8 ? 0.1 : 0.05) * expected.abs().max().item<double>());
  }
}

TEST(GenerateFromText, WhatDoesNotFitIsRefused) {
  auto model = network();
  const auto prompt = some_prompt(model->config());
  const auto message = [&](const TextPrompt& given, const SampleOptions& options) {
    return message_of([&] { generate_tokens(model, given, options); });
  };
  EXPECT_EQ(message({.text = prompt.text, .empty = {}}, {.cfg = 2.0}),
            "sampling: guidance needs the features of the empty text beside those of the "
            "captions; give them, or use cfg 1");
  EXPECT_EQ(message({.text = prompt.text, .empty = {prompt.empty.features, {}}}, {.cfg = 2.0}),
            "sampling: guidance needs to know which positions are padding of both the captions "
            "and the empty text, and only the captions came with that; give both, or neither");
  EXPECT_EQ(message({.text = {at::zeros({2, 4, 12}), {}}, .empty = {}}, {}),
            "sampling: features of the captions: expected [2, 5, 12], got [2, 4, 12]");
  EXPECT_EQ(message({.text = {prompt.text.features, at::zeros({2, 5})}, .empty = {}}, {}),
            "sampling: valid positions of the captions: expected [3, 5], got [2, 5]");
  EXPECT_EQ(message({}, {}), "sampling: needs at least one caption");
  EXPECT_EQ(message_of([&] { generate_tokens(model, at::zeros({1}, at::kLong), {}); }),
            "sampling: this network draws captions, not classes; give text features");
}

}  // namespace
}  // namespace gear::sample
