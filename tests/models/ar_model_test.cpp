#include "gear/models/ar/ar_model.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gear/core/error.h"
#include "gear/nn/autocast.h"
#include "gear/nn/meta_scope.h"

// B batch, L tokens per image, K codes, D model width

namespace gear::models {
namespace {

ArConfig small_config() {
  ArConfig config;
  config.dim = 48;
  config.depth = 3;
  config.heads = 4;
  config.ffn_multiple_of = 16;
  config.vocab_size = 32;
  config.num_tokens = 16;
  config.num_classes = 5;
  return config;
}

/// A network whose output head is not zero, as after some training.
ArModel trained_like(const ArConfig& config) {
  ArModel model(config);
  torch::manual_seed(1);  // whatever initialisation has drawn
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) {
    if (parameter.dim() == 2) parameter.normal_(0.0, 0.2);
  }
  model->eval();
  return model;
}

Tensor some_ids(const ArConfig& config, int64_t batch, int64_t count) {
  return at::randint(config.vocab_size, {batch, count}, at::kLong);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

/// Logits [B, L, K] of teacher-forced cached decoding.
Tensor cached_logits(ArModel& model, const Tensor& labels, const Tensor& ids) {
  const at::NoGradGuard no_grad;
  KvCache cache(model->config(), labels.size(0), at::kCPU);
  std::vector<Tensor> rows = {model->prefill(labels, cache)};
  for (int64_t i = 0; i < ids.size(1); ++i) {
    rows.push_back(model->decode_step(ids.select(1, i), cache));
  }
  return at::stack(rows, 1);
}

TEST(ArModel, CachedDecodingEqualsTheParallelPass) {
  for (const int64_t kv_heads : {0, 2}) {
    auto config = small_config();
    config.kv_heads = kv_heads;
    auto model = trained_like(config);
    const auto labels = at::tensor({3, 0}, at::kLong);
    const auto ids = some_ids(config, 2, config.num_tokens - 1);
    const auto parallel = model->forward(labels, model->embed_ids(ids)).logits;
    EXPECT_LE(largest_difference(cached_logits(model, labels, ids), parallel), 1e-5) << kv_heads;
  }
}

TEST(ArModel, FewerKeyHeadsEqualRepeatedOnes) {
  auto grouped_config = small_config();
  grouped_config.kv_heads = 2;
  auto grouped = trained_like(grouped_config);
  auto full = trained_like(small_config());
  const at::NoGradGuard no_grad;
  const int64_t d = grouped_config.head_dim();
  for (auto& item : full->named_parameters()) {
    const auto source = grouped->named_parameters()[item.key()];
    if (item.key().find("wqkv") == std::string::npos) {
      item.value().copy_(source);
      continue;
    }
    const auto heads = source.view({8, d, -1});  // 4 query, 2 key and 2 value heads
    const auto order = at::tensor({0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7}, at::kLong);
    item.value().copy_(heads.index_select(0, order).flatten(0, 1));
  }
  const auto labels = at::tensor({1}, at::kLong);
  const auto ids = some_ids(grouped_config, 1, 15);
  EXPECT_LE(largest_difference(full->forward(labels, full->embed_ids(ids)).logits,
                               grouped->forward(labels, grouped->embed_ids(ids)).logits),
            1e-5);
}

TEST(ArModel, FreshNetworkIsUniformOverTheCodes) {
  const auto config = small_config();
  ArModel model(config);
  const auto targets = some_ids(config, 2, config.num_tokens);
  const auto output =
      model->forward(at::tensor({0, 1}, at::kLong), model->embed_ids(targets.narrow(1, 0, 15)));
  const auto loss = at::cross_entropy_loss(output.logits.flatten(0, 1), targets.flatten());
  EXPECT_NEAR(loss.item<double>(), std::log(32.0), 1e-6);
}

TEST(ArModel, LaterTokensDoNotChangeEarlierPredictions) {
  const auto config = small_config();
  auto model = trained_like(config);
  const auto labels = at::tensor({2}, at::kLong);
  const auto ids = some_ids(config, 1, 15);
  auto changed = ids.clone();
  changed.narrow(1, 7, 8).add_(1).remainder_(config.vocab_size);
  const auto a = model->forward(labels, model->embed_ids(ids)).logits;
  const auto b = model->forward(labels, model->embed_ids(changed)).logits;
  EXPECT_LE(largest_difference(a.narrow(1, 0, 8), b.narrow(1, 0, 8)), 1e-6);
  EXPECT_GT(largest_difference(a.narrow(1, 8, 8), b.narrow(1, 8, 8)), 1e-3);
}

TEST(ArModel, EarlyExitStopsAtTheTap) {
  const auto config = small_config();
  auto model = trained_like(config);
  const auto labels = at::tensor({2}, at::kLong);
  const auto embeddings = model->embed_ids(some_ids(config, 1, 15));
  const auto full = model->forward(labels, embeddings, {.tap = 2});
  const auto early = model->forward(labels, embeddings, {.tap = 2, .early_exit = true});
  EXPECT_TRUE(full.tap_hidden.equal(early.tap_hidden));
  EXPECT_EQ(full.tap_hidden.sizes(), (std::vector<int64_t>{1, 16, 48}));
  EXPECT_FALSE(early.logits.defined());
}

TEST(ArModel, SureSoftInputsEqualIds) {
  const auto config = small_config();
  auto model = trained_like(config);
  const auto ids = some_ids(config, 2, 15);
  const auto codes = at::eye(config.vocab_size);
  const ops::Costs costs{.left = -1000 * codes.index_select(0, ids.flatten()), .right = codes};
  const auto soft = model->embed_soft(costs, {.temperature = 1.0}).view({2, 15, -1});
  EXPECT_TRUE(soft.equal(model->embed_ids(ids)));
}

TEST(ArModel, DroppedLabelsBecomeTheNullClass) {
  auto config = small_config();
  ArModel model(config);
  const auto labels = at::tensor({4, 1, 2}, at::kLong);
  const auto drop = at::tensor({0, 1, 0}, at::kLong);
  EXPECT_TRUE(model->drop_labels(labels, drop).equal(at::tensor({4, 5, 2}, at::kLong)));
  EXPECT_EQ(model->cls_embedding->embedding_table->weight.size(0), 6);

  config.class_dropout = 0.0;
  ArModel unguided(config);
  EXPECT_FALSE(unguided->has_null_class());
  EXPECT_EQ(unguided->cls_embedding->embedding_table->weight.size(0), 5);
  EXPECT_TRUE(unguided->drop_labels(labels, at::zeros_like(drop)).equal(labels));
  EXPECT_THROW(unguided->drop_labels(labels, drop), c10::Error);
}

TEST(ArModel, TrainModeDropsOutAndEvalModeDoesNot) {
  auto model = trained_like(small_config());
  const auto labels = at::tensor({2}, at::kLong);
  const auto embeddings = model->embed_ids(some_ids(model->config(), 1, 15));
  const auto run = [&] { return model->forward(labels, embeddings).logits; };
  EXPECT_TRUE(run().equal(run()));
  model->train();
  EXPECT_FALSE(run().equal(run()));
  torch::manual_seed(3);
  const auto first = run();
  torch::manual_seed(3);
  EXPECT_TRUE(first.equal(run()));
}

TEST(ArModel, Bfloat16AutocastKeepsTheResidualStreamInFloat32) {
  auto model = trained_like(small_config());
  const auto labels = at::tensor({2}, at::kLong);
  const auto ids = some_ids(model->config(), 1, 15);
  const auto exact = model->forward(labels, model->embed_ids(ids), {.tap = 1});
  const nn::AutocastScope autocast(at::kCPU, true);
  const auto rounded = model->forward(labels, model->embed_ids(ids), {.tap = 1});
  EXPECT_EQ(rounded.tap_hidden.scalar_type(), at::kFloat);
  EXPECT_EQ(rounded.logits.scalar_type(), at::kFloat);
  // bfloat16 keeps 8 bits: a per cent of the largest value, a few roundings deep.
  const double scale = exact.tap_hidden.abs().max().item<double>();
  EXPECT_LE(largest_difference(rounded.tap_hidden, exact.tap_hidden), 0.03 * scale);
  EXPECT_FALSE(rounded.tap_hidden.equal(rounded.tap_hidden.to(at::kBFloat16).to(at::kFloat)));
}

TEST(ArModel, SquareNumberOfTokensIsRequired) {
  auto config = small_config();
  config.num_tokens = 15;
  EXPECT_THROW(ArModel{config}, Error);
}

TEST(ArPreset, HasThePublishedParameterCounts) {
  const std::vector<std::pair<std::string, int64_t>> table = {
      {"S", 34210560},   {"B", 110888448},    {"L", 342910976},
      {"XL", 774699520}, {"XXL", 1410972672}, {"XXXL", 3893027840},
  };
  const nn::MetaScope meta;
  for (const auto& [size, count] : table) {
    ArModel model(ar_preset(size));
    int64_t found = 0;
    for (const auto& parameter : model->parameters()) found += parameter.numel();
    EXPECT_EQ(found, count) << size;
  }
}

TEST(ArPreset, UnknownSizeNamesTheKnownOnes) {
  try {
    ar_preset("M");
    FAIL() << "ar_preset accepted M";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("one of S, B, L, XL, 1B, XXL, XXXL, got M"));
  }
}

}  // namespace
}  // namespace gear::models
