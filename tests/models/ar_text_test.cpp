#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/models/ar/ar_model.h"
#include "gear/nn/autocast.h"
#include "gear/nn/meta_scope.h"
#include "models/error_message.h"
#include "models/text_network.h"

// B batch, T caption positions, L tokens per image, D model width

namespace gear::models {
namespace {

double largest_difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

int64_t parameter_count(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

/// Logits [B, L, K] of teacher-forced cached decoding.
Tensor cached_logits(ArModel& model, const TextCondition& text, const Tensor& ids) {
  const at::NoGradGuard no_grad;
  KvCache cache(model->config(), ids.size(0), at::kCPU);
  std::vector<Tensor> rows = {model->prefill(text, cache)};
  for (int64_t i = 0; i < ids.size(1); ++i) {
    rows.push_back(model->decode_step(ids.select(1, i), cache));
  }
  return at::stack(rows, 1);
}

TEST(TextTransformer, HasThePublishedParameterCounts) {
  const std::vector<std::pair<std::string, int64_t>> table = {
      {"S", 37120896},    {"B", 121722624},    {"L", 378594304},     {"XL", 856336640},
      {"1B", 1047659040}, {"XXL", 1565959680}, {"XXXL", 4321733120},
  };
  const nn::MetaScope meta;
  for (const auto& [size, count] : table) {
    auto config = ar_preset(size);
    config.text.emplace();
    EXPECT_EQ(parameter_count(*ArModel(config)), count) << size;
  }
}

TEST(TextTransformer, ThirdOfTheBlocksIsDoubleByDefaultAndAnyNumberOnRequest) {
  ArConfig config;
  EXPECT_EQ(config.double_stream_blocks(), 0);
  config.text.emplace();
  const std::vector<std::pair<int64_t, int64_t>> table = {{1, 1},  {2, 1},  {4, 1},   {5, 2},
                                                          {12, 4}, {24, 8}, {36, 12}, {48, 16}};
  for (const auto& [depth, blocks] : table) {
    config.depth = depth;
    EXPECT_EQ(config.double_stream_blocks(), blocks) << depth;
  }
  config.depth = 4;
  for (const int64_t blocks : {0, 3, 4}) {
    config.text->double_stream_blocks = blocks;
    EXPECT_EQ(config.double_stream_blocks(), blocks);
  }
  config.text->double_stream_blocks = 5;
  EXPECT_EQ(message_of([&] { ArModel{config}; }),
            "double-stream blocks of the transformer: must be between 0 and its depth 4, or -1 for "
            "a third of it, got 5");
}

TEST(TextTransformer, CachedDecodingEqualsTheParallelPass) {
  for (const auto attention : {TextAttention::kCausal, TextAttention::kPrefix}) {
    for (const bool masked : {true, false}) {
      auto model = text_network(text_config(attention));
      auto text = some_text(model->config());
      if (!masked) text.valid = Tensor();
      const auto ids = some_ids(model->config(), 3);
      const auto parallel = model->forward(text, model->embed_ids(ids)).logits;
      EXPECT_LE(largest_difference(cached_logits(model, text, ids), parallel), 1e-5)
          << static_cast<int>(attention) << " masked " << masked;
    }
  }
}

TEST(TextTransformer, PaddingReachesTheFirstTokenAloneAndOnlyFromTheLastPosition) {
  for (const auto attention : {TextAttention::kCausal, TextAttention::kPrefix}) {
    auto model = text_network(text_config(attention));
    const auto text = some_text(model->config());  // row 1: positions 2 to 4 are padding
    const auto embeddings = model->embed_ids(some_ids(model->config(), 3));
    const auto logits = model->forward(text, embeddings).logits[1];

    auto inner = text;
    inner.features = text.features.clone();
    inner.features[1].narrow(0, 2, 2).normal_();
    EXPECT_TRUE(model->forward(inner, embeddings).logits[1].equal(logits));

    auto last = text;
    last.features = text.features.clone();
    last.features[1][4].normal_();  // its own row predicts token 0
    const auto changed = model->forward(last, embeddings).logits[1];
    EXPECT_TRUE(changed.narrow(0, 1, 8).equal(logits.narrow(0, 1, 8)));
    EXPECT_GT(largest_difference(changed[0], logits[0]), 1e-3);

    auto caption = text;
    caption.features = text.features.clone();
    caption.features[1][0].normal_();
    EXPECT_GT(largest_difference(model->forward(caption, embeddings).logits[1][8], logits[8]),
              1e-3);
  }
}

TEST(TextTransformer, LaterTokensDoNotChangeEarlierPredictions) {
  for (const auto attention : {TextAttention::kCausal, TextAttention::kPrefix}) {
    auto model = text_network(text_config(attention));
    const auto text = some_text(model->config());
    const auto ids = some_ids(model->config(), 3);
    auto other = ids.clone();
    other.narrow(1, 3, 5).add_(1).remainder_(model->config().vocab_size);
    const auto a = model->forward(text, model->embed_ids(ids)).logits;
    const auto b = model->forward(text, model->embed_ids(other)).logits;
    EXPECT_LE(largest_difference(a.narrow(1, 0, 4), b.narrow(1, 0, 4)), 1e-6);
    EXPECT_GT(largest_difference(a.narrow(1, 4, 5), b.narrow(1, 4, 5)), 1e-3);
  }
}

TEST(TextTransformer, StreamsWithEqualWeightsEqualASingleStream) {
  auto doubled = text_network(text_config(TextAttention::kPrefix));
  auto config = doubled->config();
  config.text->double_stream_blocks = 0;
  ArModel single(config);
  single->eval();
  {
    const at::NoGradGuard no_grad;
    auto parameters = doubled->named_parameters();
    for (auto& item : single->named_parameters()) item.value().copy_(parameters[item.key()]);
    for (const auto& item : parameters) {
      const auto at = item.key().find("_text");
      if (at == std::string::npos) continue;
      item.value().copy_(parameters[std::string(item.key()).erase(at, 5)]);
    }
  }
  const auto text = some_text(config);
  const auto embeddings = doubled->embed_ids(some_ids(config, 3));
  EXPECT_LE(largest_difference(doubled->forward(text, embeddings).logits,
                               single->forward(text, embeddings).logits),
            1e-5);
}

TEST(TextTransformer, TapAndLogitsStartAtTheLastCaptionPosition) {
  auto model = text_network(text_config(TextAttention::kCausal));
  const auto text = some_text(model->config());
  const auto embeddings = model->embed_ids(some_ids(model->config(), 3));
  const auto full = model->forward(text, embeddings, {.tap = 2});
  const auto early = model->forward(text, embeddings, {.tap = 2, .early_exit = true});
  EXPECT_EQ(full.tap_hidden.sizes(), (std::vector<int64_t>{3, 9, 48}));
  EXPECT_EQ(full.logits.sizes(), (std::vector<int64_t>{3, 9, 32}));
  EXPECT_TRUE(full.tap_hidden.equal(early.tap_hidden));
}

TEST(TextTransformer, ActivationCheckpointingGivesTheSameGradients) {
  const auto gradients = [](bool activation_checkpointing) {
    auto config = text_config(TextAttention::kPrefix);
    config.activation_checkpointing = activation_checkpointing;
    auto model = text_network(config);
    model->train();
    torch::manual_seed(3);
    const auto text = some_text(config);
    model->forward(text, model->embed_ids(some_ids(config, 3))).logits.square().sum().backward();
    std::vector<Tensor> result;
    for (const auto& parameter : model->parameters()) result.push_back(parameter.grad());
    return result;
  };
  const auto plain = gradients(false), recomputed = gradients(true);
  ASSERT_EQ(plain.size(), recomputed.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    ASSERT_TRUE(plain[i].defined()) << i;
    EXPECT_TRUE(plain[i].equal(recomputed[i])) << i;
  }
}

TEST(TextTransformer, Bfloat16AutocastKeepsTheResidualStreamInFloat32) {
  auto model = text_network(text_config(TextAttention::kCausal));
  auto text = some_text(model->config());
  const auto ids = some_ids(model->config(), 3);
  text.features = text.features.to(at::kBFloat16);  // as a stored feature file has them
  const auto exact = model->forward(text, model->embed_ids(ids), {.tap = 3}).tap_hidden;
  const nn::AutocastScope autocast(at::kCPU, true);
  const auto rounded = model->forward(text, model->embed_ids(ids), {.tap = 3}).tap_hidden;
  EXPECT_EQ(rounded.scalar_type(), at::kFloat);
  // bfloat16 keeps 8 bits: a few per cent of the largest value, three blocks deep.
  EXPECT_LE(largest_difference(rounded, exact), 0.05 * exact.abs().max().item<double>());
  EXPECT_FALSE(rounded.equal(rounded.to(at::kBFloat16).to(at::kFloat)));
}

TEST(TextTransformer, TakesNoLabelsAndTheClassConditionalOneNoText) {
  auto model = text_network(text_config(TextAttention::kCausal));
  auto classes = text_config(TextAttention::kCausal);
  classes.text.reset();
  ArModel class_conditional(classes);
  const auto embeddings = model->embed_ids(some_ids(model->config(), 3));
  EXPECT_FALSE(model->has_null_class());
  EXPECT_THROW(model->forward(at::tensor({0, 1, 2}, at::kLong), embeddings), c10::Error);
  EXPECT_THROW(class_conditional->forward(some_text(model->config()), embeddings), c10::Error);
}

}  // namespace
}  // namespace gear::models
