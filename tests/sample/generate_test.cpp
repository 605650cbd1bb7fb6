#include "gear/sample/generate.h"

#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gear/core/error.h"

// B images, L tokens per image, K codes

namespace gear::sample {
namespace {

models::ArConfig small_config() {
  models::ArConfig config;
  config.dim = 32;
  config.depth = 2;
  config.heads = 2;
  config.ffn_multiple_of = 16;
  config.vocab_size = 24;
  config.num_tokens = 9;
  config.num_classes = 5;
  return config;
}

models::ArModel trained_like(const models::ArConfig& config) {
  torch::manual_seed(1);
  models::ArModel model(config);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) {
    if (parameter.dim() == 2) parameter.normal_(0.0, 0.3);
  }
  return model;
}

struct Generated {
  Tensor tokens;  // [B, L]
  Tensor logits;  // [B, L, K]
};

Generated generate(const models::ArDecoder& model, const Tensor& labels,
                   const SampleOptions& options) {
  std::vector<Tensor> steps;
  const auto tokens = generate_tokens(model, labels, options, [&](int64_t, const Tensor& logits) {
    steps.push_back(logits.clone());
  });
  return {tokens, at::stack(steps, 1)};
}

/// Teacher-forced logits of the parallel pass, [B, L, K].
Tensor parallel_logits(models::ArModel model, const Tensor& labels, const Tensor& tokens) {
  const at::NoGradGuard no_grad;
  model->eval();
  const auto inputs = tokens.narrow(1, 0, tokens.size(1) - 1);
  return model->forward(labels, model->embed_ids(inputs)).logits;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Generate, SameSeedGivesTheSameTokensForEveryBatchSplit) {
  auto model = trained_like(small_config());
  const auto labels = at::tensor({0, 1, 2, 3, 4}, at::kLong);
  SampleOptions options = {.cfg = 2.0, .top_k = 20, .seed = 11};
  const auto together = generate_tokens(model, labels, options);
  std::vector<Tensor> parts;
  for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 2}, {2, 1}, {3, 2}}) {
    options.first_image = begin;
    parts.push_back(generate_tokens(model, labels.narrow(0, begin, count), options));
  }
  EXPECT_TRUE(together.equal(at::cat(parts)));
  options.first_image = 0;
  options.seed = 12;
  EXPECT_FALSE(together.equal(generate_tokens(model, labels, options)));
}

TEST(Generate, GuidanceIntervalEndsWithConditionalLogitsAlone) {
  auto model = trained_like(small_config());
  const auto labels = at::tensor({1, 4}, at::kLong);
  const SampleOptions options = {.cfg = 3.0, .cfg_interval = 2, .seed = 3};
  const auto found = generate(model, labels, options);
  const auto c = parallel_logits(model, labels, found.tokens);
  const auto u =
      parallel_logits(model, at::full({2}, model->null_class(), at::kLong), found.tokens);
  auto expected = c.clone();
  expected.narrow(1, 0, 4).copy_((u + 3.0 * (c - u)).narrow(1, 0, 4));  // tokens 0..2 + 1
  EXPECT_LE((found.logits - expected).abs().max().item<double>(), 1e-4);
}

TEST(Generate, GreedyTakesTheMostProbableCode) {
  auto model = trained_like(small_config());
  const auto labels = at::tensor({1, 4}, at::kLong);
  const auto found = generate(model, labels, {.greedy = true});
  EXPECT_TRUE(found.tokens.equal(found.logits.argmax(-1)));
}

TEST(Generate, DrawsFollowTheFilteredProbabilities) {
  auto config = small_config();
  config.vocab_size = 4;
  config.num_tokens = 1;
  auto model = trained_like(config);
  constexpr int64_t kDraws = 4000;
  const auto labels = at::zeros({kDraws}, at::kLong);
  const auto found = generate(model, labels, {.top_k = 3, .seed = 5});
  const auto filtered = filter_logits(found.logits.select(1, 0).narrow(0, 0, 1), {.top_k = 3});
  const auto expected = at::softmax(filtered, -1)[0];  // [K]
  const auto share = at::bincount(found.tokens.flatten(), {}, 4).to(at::kFloat) / kDraws;
  // Four standard errors of a share of 4000 draws: 4 * sqrt(0.25 / 4000) = 0.032.
  EXPECT_LE((share - expected).abs().max().item<double>(), 0.032);
  EXPECT_EQ((share == 0).logical_and(expected == 0).sum().item<int64_t>(), 1);
}

TEST(Generate, ModeAndGradientFlagsAreRestored) {
  auto model = trained_like(small_config());
  model->train();
  model->norm->weight.requires_grad_(false);
  generate_tokens({model, ops::WeightFormat::kBfloat16}, at::tensor({1}, at::kLong), {});
  EXPECT_TRUE(model->is_training());
  EXPECT_TRUE(model->layers[0]->is_training());
  EXPECT_FALSE(model->norm->weight.requires_grad());
  EXPECT_TRUE(model->output->weight.requires_grad());
  EXPECT_TRUE(at::GradMode::is_enabled());
}

TEST(Generate, TokensAreThoseOfTheNetworksOwnLayers) {
  auto model = trained_like(small_config());
  const auto labels = at::tensor({1, 2, 4}, at::kLong);
  for (const SampleOptions& options : {SampleOptions{.cfg = 2.0, .greedy = true},
                                       SampleOptions{.cfg = 2.0, .cfg_interval = 2, .seed = 9},
                                       SampleOptions{.top_k = 20, .top_p = 0.9, .seed = 8}}) {
    EXPECT_TRUE(generate_tokens(model, labels, options)
                    .equal(generate_tokens(models::ArDecoder::plain(model), labels, options)));
  }
}

TEST(Generate, RoundedWeightsKeepLogitsNearFloat32) {
  auto model = trained_like(small_config());
  const auto labels = at::tensor({1, 2}, at::kLong);
  for (const auto format : {ops::WeightFormat::kBfloat16, ops::WeightFormat::kInt8}) {
    const auto found = generate({model, format}, labels, {.cfg = 1.5, .seed = 2});
    const auto c = parallel_logits(model, labels, found.tokens);
    const auto u =
        parallel_logits(model, at::full({2}, model->null_class(), at::kLong), found.tokens);
    const auto expected = u + 1.5 * (c - u);
    // What rounding itself does after two blocks and guidance; ar_decoder_test compares with
    // rounded weights exactly.
    const double scale = expected.abs().max().item<double>();
    const double error = (found.logits - expected).abs().max().item<double>();
    EXPECT_LE(error, (format == ops::WeightFormat::kInt8 ? 0.1 : 0.05) * scale)
        << static_cast<int>(format);
    EXPECT_GT(error, 0.0) << static_cast<int>(format);
  }
}

TEST(Generate, GuidanceWithoutANullClassIsRefused) {
  auto config = small_config();
  config.class_dropout = 0.0;
  auto model = trained_like(config);
  const auto labels = at::tensor({1}, at::kLong);
  EXPECT_THAT(error_of([&] { generate_tokens(model, labels, {.cfg = 2.0}); }),
              testing::HasSubstr("has no null class; use cfg 1"));
  EXPECT_EQ(generate_tokens(model, labels, {}).sizes(), (std::vector<int64_t>{1, 9}));
}

TEST(Generate, UnknownClassNamesTheRange) {
  auto model = trained_like(small_config());
  EXPECT_EQ(error_of([&] {
              generate_tokens(model, at::tensor({1, 5}, at::kLong), {});
            }),
            "sampling: class labels must be between 0 and 4, got 5");
}

}  // namespace
}  // namespace gear::sample
