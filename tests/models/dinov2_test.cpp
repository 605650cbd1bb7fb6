#include "gear/models/teachers/dinov2.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "gear/models/teachers/positions.h"
#include "gear/nn/meta_scope.h"
#include "models/teacher_testing.h"

// B batch, n and g grid sides, D width

namespace gear::models {
namespace {

using testing::custom_teacher;
using testing::expect_early_stop;
using testing::expect_same_tensors;
using testing::parameter_count;
using testing::parameters_by_name;
using testing::random_images;
using testing::replaced;
using testing::split_qkv;
using testing::write_tensors;

Dinov2Config small_config() {
  return {.dim = 8, .depth = 2, .heads = 2, .hidden = 32, .registers = 0, .patch = 14, .grid = 3};
}

int64_t published_parameters(char size, bool registers) {
  const nn::MetaScope meta;
  return parameter_count(Dinov2(dinov2_config(size, registers)));
}

/// `name` of a hub file as Hugging Face's exports spell it; qkv is handled by the caller.
std::string hugging_face_name(const std::string& name) {
  if (name.starts_with("norm.")) return "layer" + name;
  return replaced(name, {{"cls_token", "embeddings.cls_token"},
                         {"mask_token", "embeddings.mask_token"},
                         {"register_tokens", "embeddings.register_tokens"},
                         {"pos_embed", "embeddings.position_embeddings"},
                         {"patch_embed.proj.", "embeddings.patch_embeddings.projection."},
                         {"blocks.", "encoder.layer."},
                         {"attn.proj.", "attention.output.dense."},
                         {"ls1.gamma", "layer_scale1.lambda1"},
                         {"ls2.gamma", "layer_scale2.lambda1"},
                         {"mlp.w12.", "mlp.weights_in."},
                         {"mlp.w3.", "mlp.weights_out."}});
}

io::TensorMap as_hugging_face(const Dinov2& model) {
  return split_qkv(
      parameters_by_name(model), "attn.qkv.",
      {"attention.attention.query.", "attention.attention.key.", "attention.attention.value."},
      hugging_face_name);
}

/// A position table whose patch rows hold their own row number on the n x n grid: [1, 1 + n^2, 1].
Tensor row_numbers(int64_t n) {
  auto table = at::full({1, 1 + n * n, 1}, 100.0, at::kDouble);
  table.slice(1, 1).copy_(
      at::arange(n, at::kDouble).view({n, 1}).expand({n, n}).reshape({1, n * n, 1}));
  return table;
}

/// Row coordinates that a resampled `row_numbers` table holds, first column, without the borders,
/// where the kernel meets the edge of the source.
Tensor inner_rows(const Tensor& table, int64_t g, int64_t border) {
  return table.slice(1, 1).reshape({g, g}).select(1, 0).slice(0, border, g - border);
}

TEST(Dinov2, PublishedSizesHaveTheirParameterCounts) {
  EXPECT_EQ(published_parameters('s', false), 22056576);
  EXPECT_EQ(published_parameters('s', true), 22058112);
  EXPECT_EQ(published_parameters('b', false), 86580480);
  EXPECT_EQ(published_parameters('b', true), 86583552);
  EXPECT_EQ(published_parameters('l', false), 304368640);
  EXPECT_EQ(published_parameters('g', false), 1136480768);
}

TEST(Dinov2Positions, StayAsTheyAreOnTheirOwnGrid) {
  torch::manual_seed(1);
  const auto table = at::randn({1, 1 + 25, 4});
  EXPECT_TRUE(resample_positions(table, 5).equal(table));
  EXPECT_TRUE(interpolate_positions_as_published(table, 5, false).equal(table));
  EXPECT_TRUE(interpolate_positions_as_published(table, 5, true).equal(table));
}

TEST(Dinov2Positions, KeepTheClassRow) {
  torch::manual_seed(2);
  const auto table = at::randn({1, 1 + 25, 4});
  for (const bool registers : {false, true}) {
    const auto resampled = interpolate_positions_as_published(table, 3, registers);
    EXPECT_EQ(resampled.sizes(), at::IntArrayRef({1, 10, 4}));
    EXPECT_TRUE(resampled.select(1, 0).equal(table.select(1, 0)));
  }
}

// Bicubic kernels reproduce a linear ramp exactly, so a ramp shows the sampled coordinates.
TEST(Dinov2Positions, ForAlignmentAreSampledAtCellCentres) {
  const int64_t n = 37, g = 16;
  const auto expected = (at::arange(g, at::kDouble) + 0.5) * n / g - 0.5;
  const auto found = inner_rows(resample_positions(row_numbers(n), g), g, 2);
  EXPECT_LT((found - expected.slice(0, 2, g - 2)).abs().max().item<double>(), 0.01);
}

TEST(Dinov2Positions, AsPublishedAreSampledByTheOffsetScaleFactor) {
  const int64_t n = 37, g = 16;
  const auto expected = (at::arange(g, at::kDouble) + 0.5) * n / (g + 0.1) - 0.5;
  const auto found = inner_rows(interpolate_positions_as_published(row_numbers(n), g, false), g, 1);
  // The kernel with a = -0.75 misses a ramp by up to 0.05; without the offset of 0.1 the last cells
  // would lie 0.2 away.
  EXPECT_LT((found - expected.slice(0, 1, g - 1)).abs().max().item<double>(), 0.06);
}

TEST(Dinov2, PreprocessingNormalisesByTheImageNetStatistics) {
  Dinov2 model(small_config());
  auto image = at::full({1, 3, 48, 48}, 51, at::kByte);
  const auto pixels = model.preprocess(image);  // [1, 3, 42, 42]
  EXPECT_EQ(pixels.sizes(), at::IntArrayRef({1, 3, 42, 42}));
  const auto expected =
      at::tensor({(0.2 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.2 - 0.406) / 0.225}, at::kFloat);
  EXPECT_LT((pixels - expected.view({1, 3, 1, 1})).abs().max().item<float>(), 1e-5);
}

TEST(Dinov2, GivesOneFeaturePerTokenWithoutGradient) {
  const auto teacher = make_teacher(custom_teacher(), 3);
  const auto features = teacher->encode(random_images(48));
  EXPECT_EQ(features.sizes(), at::IntArrayRef({2, 9, 8}));
  EXPECT_EQ(features.scalar_type(), at::kFloat);
  EXPECT_FALSE(features.requires_grad());
  EXPECT_EQ(teacher->feature_dim(), 8);
  for (const auto& parameter : teacher->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST(Dinov2, StopsAtTheChosenBlock) {
  expect_early_stop<Dinov2>(small_config(), "blocks.", random_images(48));
}

TEST(Dinov2, TakesBothRulesOfPositionInterpolation) {
  torch::manual_seed(9);
  for (const int64_t registers : {0, 4}) {
    auto config = small_config();
    config.registers = registers;
    config.grid = 5;
    Dinov2 model(config);
    model.initialize_randomly();
    const auto table = model.pos_embed.detach().clone();
    model.set_grid(3, PositionRule::kPublished);
    EXPECT_TRUE(model.pos_embed.equal(interpolate_positions_as_published(table, 3, registers > 0)));
    EXPECT_EQ(model.pos_embed.equal(resample_positions(table, 3)), registers > 0);
  }
}

TEST(Dinov2, RandomWeightsFollowTheGenerator) {
  const auto encode = [](uint64_t seed) {
    torch::manual_seed(seed);
    const auto teacher = make_teacher(custom_teacher(), 3);
    return teacher->encode(at::full({1, 3, 48, 48}, 90, at::kByte));
  };
  EXPECT_TRUE(encode(5).equal(encode(5)));
  EXPECT_FALSE(encode(5).equal(encode(6)));
}

TEST(Dinov2Weights, HuggingFaceNamesBecomeHubNames) {
  torch::manual_seed(7);
  auto config = small_config();
  config.registers = 4;
  for (const auto kind : {FeedForwardKind::kGelu, FeedForwardKind::kFusedSwiGlu}) {
    config.feed_forward = kind;
    const Dinov2 model(config);
    expect_same_tensors(with_hub_names(as_hugging_face(model)), parameters_by_name(model));
  }
}

TEST(Dinov2Weights, AreReadFromAFileAndResampledToTheGrid) {
  torch::manual_seed(8);
  auto config = small_config();
  config.grid = 5;
  Dinov2 original(config);
  original.initialize_randomly();

  auto teacher_config = custom_teacher();
  teacher_config.weights = write_tensors("dinov2.safetensors", parameters_by_name(original));
  const auto images = random_images(48);
  const auto found = make_teacher(teacher_config, 3)->encode(images);
  original.set_grid(3);
  EXPECT_TRUE(found.equal(original.encode(images)));
}

TEST(Dinov2Weights, WithRegistersAreRefusedByAPlainTeacher) {
  auto config = small_config();
  config.registers = 4;
  auto teacher = custom_teacher();
  teacher.weights = write_tensors("registers.safetensors", parameters_by_name(Dinov2(config)));
  EXPECT_EQ(message_of([&] { make_teacher(teacher, 3); }),
            teacher.weights +
                ": holds an encoder with register tokens; name it as dinov2_reg, for "
                "example dinov2_reg-vit-b");
}

}  // namespace
}  // namespace gear::models
