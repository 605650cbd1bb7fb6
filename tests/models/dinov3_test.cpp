#include "gear/models/teachers/dinov3.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <array>
#include <cmath>
#include <numbers>

#include "gear/nn/meta_scope.h"
#include "models/teacher_testing.h"

// N patches, D width, d head width

namespace gear::models {
namespace {

using testing::expect_early_stop;
using testing::expect_same_tensors;
using testing::parameter_count;
using testing::parameters_by_name;
using testing::random_images;
using testing::replaced;
using testing::split_qkv;
using testing::write_tensors;

Dinov3Config small_config() { return {.dim = 16, .depth = 2, .heads = 2, .hidden = 24}; }

int64_t published_parameters(const std::string& size) {
  const nn::MetaScope meta;
  return parameter_count(Dinov3(dinov3_config(size)));
}

/// Parameters of one published size by its row in the table of sizes.
int64_t counted(int64_t dim, int64_t depth, int64_t hidden, bool gated, bool qkv_bias) {
  const int64_t attention = 4 * dim * dim + (qkv_bias ? 3 * dim : 0) + dim;
  const int64_t mlp = gated ? 3 * dim * hidden + 2 * hidden + dim : 2 * dim * hidden + hidden + dim;
  const int64_t norms_and_gains = 6 * dim;
  const int64_t patches = 3 * 16 * 16 * dim + dim;
  const int64_t tokens = (1 + 4 + 1) * dim;  // class, registers, mask
  return depth * (attention + mlp + norms_and_gains) + patches + tokens + 2 * dim;
}

io::TensorMap as_hugging_face(const Dinov3& model) {
  const bool gated = model.config().feed_forward == FeedForwardKind::kSwiGlu;
  auto tensors =
      split_qkv(parameters_by_name(model), "attn.qkv.",
                {"attention.q_proj.", "attention.k_proj.", "attention.v_proj."},
                [&](const std::string& name) {
                  return replaced(name, {{"cls_token", "embeddings.cls_token"},
                                         {"mask_token", "embeddings.mask_token"},
                                         {"storage_tokens", "embeddings.register_tokens"},
                                         {"patch_embed.proj.", "embeddings.patch_embeddings."},
                                         {"blocks.", "layer."},
                                         {"attn.proj.", "attention.o_proj."},
                                         {"ls1.gamma", "layer_scale1.lambda1"},
                                         {"ls2.gamma", "layer_scale2.lambda1"},
                                         {gated ? "mlp.w1." : "-", "mlp.gate_proj."},
                                         {gated ? "mlp.w2." : "mlp.fc1.", "mlp.up_proj."},
                                         {gated ? "mlp.w3." : "mlp.fc2.", "mlp.down_proj."}});
                });
  std::erase_if(tensors, [](const auto& item) { return item.first.ends_with("k_proj.bias"); });
  tensors["embeddings.mask_token"] = tensors.at("embeddings.mask_token").unsqueeze(0);
  return tensors;
}

TEST(Dinov3, PublishedSizesHaveTheirParameterCounts) {
  EXPECT_EQ(published_parameters("s"), 21601152);
  EXPECT_EQ(published_parameters("splus"), 28697472);
  EXPECT_EQ(published_parameters("b"), 85669632);
  EXPECT_EQ(published_parameters("l"), counted(1024, 24, 4096, false, true));
  EXPECT_EQ(published_parameters("lplus"), counted(1024, 24, 4096, true, true));
  EXPECT_EQ(published_parameters("hplus"), counted(1280, 32, 5120, true, true));
  constexpr int64_t kLocalNorm = 2 * 4096;
  EXPECT_EQ(published_parameters("7b"), counted(4096, 40, 8192, true, false) + kLocalNorm);
}

TEST(Dinov3, HasTheNamesAndShapesOfTheOfficialFiles) {
  const nn::MetaScope meta;
  const Dinov3 model(dinov3_config("b"));
  const auto names = parameters_by_name(model);
  EXPECT_EQ(names.size() + model.buffers().size(), 188U);
  EXPECT_EQ(names.at("storage_tokens").sizes(), at::IntArrayRef({1, 4, 768}));
  EXPECT_EQ(names.at("mask_token").sizes(), at::IntArrayRef({1, 768}));
  EXPECT_EQ(names.at("blocks.11.attn.qkv.weight").sizes(), at::IntArrayRef({2304, 768}));
  EXPECT_EQ(names.at("blocks.0.mlp.fc1.weight").sizes(), at::IntArrayRef({3072, 768}));
  const auto buffers = model.named_buffers();
  EXPECT_EQ(buffers["rope_embed.periods"].sizes(), at::IntArrayRef({16}));
  EXPECT_EQ(buffers["blocks.3.attn.qkv.bias_mask"].sizes(), at::IntArrayRef({2304}));

  const auto gated = parameters_by_name(Dinov3(dinov3_config("7b")));
  EXPECT_FALSE(gated.contains("blocks.0.attn.qkv.bias"));
  EXPECT_EQ(gated.at("blocks.0.mlp.w2.weight").sizes(), at::IntArrayRef({8192, 4096}));
  EXPECT_TRUE(gated.contains("local_cls_norm.weight"));
}

TEST(Dinov3, RotaryAnglesFollowRowAndColumnOfTheCell) {
  const RopeEmbed rope(8, 100.0);  // two periods per axis: 100^0 and 100^(2/4)
  const auto table = rope->forward(2, 3);
  ASSERT_EQ(table.sizes(), at::IntArrayRef({6, 4, 2}));
  const double turn = 2.0 * std::numbers::pi;
  const double row = 2.0 * 1.5 / 2.0 - 1.0, column = 2.0 * 2.5 / 3.0 - 1.0;  // of cell (1, 2)
  const std::array<double, 4> angles = {turn * row, turn * row / 10, turn * column,
                                        turn * column / 10};
  for (int64_t i = 0; i < 4; ++i) {
    const double angle = angles[static_cast<size_t>(i)];
    EXPECT_NEAR(table[5][i][0].item<double>(), std::cos(angle), 1e-5);
    EXPECT_NEAR(table[5][i][1].item<double>(), std::sin(angle), 1e-5);
  }
}

TEST(Dinov3, RotatedProductsAreThoseOfTheRotateHalfFormula) {
  torch::manual_seed(3);
  const RopeEmbed rope(8, 100.0);
  const auto table = rope->forward(1, 5);
  const auto cos = table.select(-1, 0).repeat({1, 2});  // [N, d]
  const auto sin = table.select(-1, 1).repeat({1, 2});
  const auto turned = [&](const Tensor& x) {  // [N, d]
    const auto halves = x.chunk(2, -1);
    return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
  };
  VitAttention attention(VitBlockConfig{.dim = 8, .heads = 1});
  const auto x = at::randn({1, 5, 8});
  const auto parts = attention->qkv(x).squeeze(0).chunk(3, -1);
  const auto scores = turned(parts[0]).matmul(turned(parts[1]).t()) / std::sqrt(8.0);
  const auto expected = attention->proj(scores.softmax(-1).matmul(parts[2]));
  const auto found = attention->forward(x, {.table = table, .halves = true}).squeeze(0);
  EXPECT_LT((found - expected).abs().max().item<float>(), 1e-5);
}

TEST(Dinov3, KeysHaveNoBias) {
  torch::manual_seed(4);
  QkvLinear qkv(4, QkvBias::kQueryAndValue);
  const auto x = at::randn({1, 2, 4});
  const auto without = x.matmul(qkv->weight.t());
  const auto bias = qkv(x) - without;  // [1, 2, 12]
  EXPECT_LT(bias.slice(-1, 4, 8).abs().max().item<float>(), 1e-6);
  EXPECT_LT((bias.slice(-1, 0, 4) - qkv->bias.slice(0, 0, 4)).abs().max().item<float>(), 1e-6);
  EXPECT_LT((bias.slice(-1, 8) - qkv->bias.slice(0, 8)).abs().max().item<float>(), 1e-6);
}

TEST(Dinov3, StopsAtTheChosenBlock) {
  expect_early_stop<Dinov3>(small_config(), "blocks.", random_images(48));
}

TEST(Dinov3, GivesOneFeaturePerSixteenPixels) {
  Dinov3 model(small_config());
  model.initialize_randomly();
  EXPECT_EQ(model.encode(random_images(64)).sizes(), at::IntArrayRef({2, 16, 16}));
}

TEST(Dinov3Weights, HuggingFaceNamesBecomeOfficialNames) {
  torch::manual_seed(5);
  for (const auto kind : {FeedForwardKind::kGelu, FeedForwardKind::kSwiGlu}) {
    auto config = small_config();
    config.feed_forward = kind;
    const Dinov3 model(config);
    auto expected = parameters_by_name(model);
    expected.erase("mask_token");  // of another shape there, and unused
    for (auto& [name, tensor] : expected) {
      if (!name.ends_with("qkv.bias")) continue;
      tensor = tensor.clone();
      tensor.slice(0, 16, 32).zero_();
    }
    expect_same_tensors(with_dinov3_names(as_hugging_face(model)), expected);
  }
}

TEST(Dinov3Weights, OfBothSourcesGiveTheSameFeatures) {
  torch::manual_seed(6);
  const auto images = random_images(48);
  Dinov3 original(small_config());
  const auto expected = original.encode(images);
  const auto official = write_tensors("dinov3.safetensors", parameters_by_name(original));
  const auto export_file = write_tensors("dinov3_hf.safetensors", as_hugging_face(original));
  for (const auto& path : {official, export_file}) {
    Dinov3 model(small_config());
    load_dinov3_weights(model, path);
    EXPECT_TRUE(model.encode(images).equal(expected)) << path;
  }
}

TEST(Dinov3Weights, OfAnotherSizeAreRefused) {
  auto config = small_config();
  config.dim = 32;
  const auto path = write_tensors("dinov3_wide.safetensors", parameters_by_name(Dinov3(config)));
  Dinov3 model(small_config());
  EXPECT_EQ(message_of([&] { load_dinov3_weights(model, path); }),
            path.string() +
                ": cls_token: expected [1, 1, 16], got [1, 1, 32]; teacher.model and "
                "teacher.weights must be of the same size");
}

const std::string kDamaged = "; the file is damaged, fetch or convert it again";

TEST(Dinov3Weights, ThatLackATensorOfABlockAreRefused) {
  auto tensors = as_hugging_face(Dinov3(small_config()));
  tensors.erase("layer.1.attention.v_proj.bias");
  const auto path = write_tensors("dinov3_hole.safetensors", tensors);
  Dinov3 model(small_config());
  EXPECT_EQ(message_of([&] { load_dinov3_weights(model, path); }),
            path.string() + ": lacks layer.1.attention.v_proj.bias" + kDamaged);
}

TEST(Dinov3Weights, WhoseQueryKeyAndValueDifferInShapeAreRefused) {
  Dinov3 model(small_config());
  const std::string key = "layer.1.attention.k_proj.weight";
  const auto sentence_for = [&](const std::string& name, const Tensor& tensor) {
    auto tensors = as_hugging_face(model);
    tensors[name] = tensor;
    const auto path = write_tensors("dinov3_shapes.safetensors", tensors);
    return message_of([&] { load_dinov3_weights(model, path); }).substr(path.string().size());
  };
  EXPECT_EQ(sentence_for(key, at::zeros({16, 8})),
            ": " + key + ": expected the shape of the query, [16, 16], got [16, 8]" + kDamaged);
  EXPECT_EQ(
      sentence_for("layer.1.attention.q_proj.bias", at::zeros({})),
      ": layer.1.attention.q_proj.bias: expected a matrix or a vector, got one number" + kDamaged);
}

}  // namespace
}  // namespace gear::models
