#include "gear/models/teachers/dinov2.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "gear/io/safetensors.h"
#include "gear/models/teachers/positions.h"
#include "gear/nn/meta_scope.h"

// B batch, n and g grid sides, D width

namespace gear::models {
namespace {

using ::testing::HasSubstr;

Dinov2Config small_config() {
  return {.dim = 8, .depth = 2, .heads = 2, .hidden = 32, .registers = 0, .patch = 14, .grid = 3};
}

TeacherConfig custom_teacher() {
  TeacherConfig config;
  config.model = "dinov2-custom";
  config.custom_dim = 8;
  config.custom_depth = 2;
  config.custom_heads = 2;
  return config;
}

int64_t published_parameters(char size, bool registers) {
  const nn::MetaScope meta;
  const Dinov2 model(dinov2_config(size, registers));
  int64_t count = 0;
  for (const auto& parameter : model.parameters()) count += parameter.numel();
  return count;
}

Tensor random_images() { return at::randint(0, 256, {2, 3, 48, 48}, at::kByte); }

io::NamedTensors named_parameters(const torch::nn::Module& module) {
  io::NamedTensors tensors;
  for (const auto& item : module.named_parameters()) {
    tensors.emplace_back(item.key(), item.value().detach());
  }
  return tensors;
}

/// `name` of a hub file as Hugging Face's exports spell it; qkv is handled by the caller.
std::string hugging_face_name(std::string name) {
  const std::pair<std::string, std::string> replacements[] = {
      {"cls_token", "embeddings.cls_token"},
      {"mask_token", "embeddings.mask_token"},
      {"register_tokens", "embeddings.register_tokens"},
      {"pos_embed", "embeddings.position_embeddings"},
      {"patch_embed.proj.", "embeddings.patch_embeddings.projection."},
      {"blocks.", "encoder.layer."},
      {"attn.proj.", "attention.output.dense."},
      {"ls1.gamma", "layer_scale1.lambda1"},
      {"ls2.gamma", "layer_scale2.lambda1"},
      {"mlp.w12.", "mlp.weights_in."},
      {"mlp.w3.", "mlp.weights_out."},
  };
  if (name.starts_with("norm.")) return "layer" + name;
  for (const auto& [from, to] : replacements) {
    const size_t at = name.find(from);
    if (at != std::string::npos) name.replace(at, from.size(), to);
  }
  return name;
}

io::TensorMap as_hugging_face(const Dinov2& model) {
  io::TensorMap tensors;
  for (const auto& [name, tensor] : named_parameters(model)) {
    const size_t at = name.find("attn.qkv.");
    if (at == std::string::npos) {
      tensors[hugging_face_name(name)] = tensor;
      continue;
    }
    const auto block = hugging_face_name(name.substr(0, at));
    const auto rows = tensor.chunk(3, 0);
    const char* parts[] = {"query.", "key.", "value."};
    for (size_t i = 0; i < 3; ++i) {
      tensors[block + "attention.attention." + parts[i] + name.substr(at + 9)] = rows[i];
    }
  }
  return tensors;
}

std::filesystem::path scratch_file(const std::string& name) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "gear_dinov2_test";
  std::filesystem::create_directories(folder);
  return folder / name;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
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
  const auto features = teacher->encode(random_images());
  EXPECT_EQ(features.sizes(), at::IntArrayRef({2, 9, 8}));
  EXPECT_EQ(features.scalar_type(), at::kFloat);
  EXPECT_FALSE(features.requires_grad());
  EXPECT_EQ(teacher->feature_dim(), 8);
  for (const auto& parameter : teacher->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST(Dinov2, StopsAtTheChosenBlock) {
  auto config = small_config();
  config.layer = 1;
  Dinov2 model(config);
  model.initialize_randomly();
  const auto images = random_images();
  const auto before = model.encode(images);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model.blocks[1]->parameters()) {
    parameter.fill_(std::numeric_limits<float>::quiet_NaN());
  }
  model.norm->weight.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(model.encode(images).equal(before));
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
  for (const auto kind : {FeedForwardKind::kGelu, FeedForwardKind::kSwiGlu}) {
    config.feed_forward = kind;
    const Dinov2 model(config);
    const auto hub = with_hub_names(as_hugging_face(model));
    const auto expected = named_parameters(model);
    EXPECT_EQ(hub.size(), expected.size());
    for (const auto& [name, tensor] : expected) {
      ASSERT_TRUE(hub.contains(name)) << name;
      EXPECT_TRUE(hub.at(name).equal(tensor)) << name;
    }
  }
}

TEST(Dinov2Weights, AreReadFromAFileAndResampledToTheGrid) {
  torch::manual_seed(8);
  auto config = small_config();
  config.grid = 5;
  Dinov2 original(config);
  original.initialize_randomly();
  const auto path = scratch_file("hub.safetensors");
  io::write_safetensors(path, named_parameters(original));

  auto teacher_config = custom_teacher();
  teacher_config.weights = path;
  const auto images = random_images();
  const auto found = make_teacher(teacher_config, 3)->encode(images);
  original.set_grid(3);
  EXPECT_TRUE(found.equal(original.encode(images)));
}

TEST(Dinov2Weights, WithRegistersAreRefusedByAPlainTeacher) {
  auto config = small_config();
  config.registers = 4;
  const auto path = scratch_file("registers.safetensors");
  io::write_safetensors(path, named_parameters(Dinov2(config)));
  auto teacher = custom_teacher();
  teacher.weights = path;
  EXPECT_EQ(error_of([&] { make_teacher(teacher, 3); }),
            path.string() +
                ": holds an encoder with register tokens; name it as dinov2_reg, for "
                "example dinov2_reg-vit-b");
}

TEST(Dinov2Weights, OfAnotherNetworkAreRefused) {
  const auto path = scratch_file("other.safetensors");
  io::write_safetensors(path, {{"conv.weight", at::randn({2, 2})}});
  auto teacher = custom_teacher();
  teacher.weights = path;
  EXPECT_EQ(error_of([&] { make_teacher(teacher, 3); }),
            path.string() + ": lacks pos_embed; this is no file of a DINOv2 encoder");
}

TEST(TeacherConfig, UnknownModelsAndLayersAreNamed) {
  TeacherConfig config;
  config.model = "dinov2-vit-x";
  EXPECT_EQ(error_of([&] { make_teacher(config, 3); }),
            "teacher.model: must be dinov2-vit-{s,b,l,g}, dinov2_reg-vit-{s,b,l,g} or "
            "dinov2-custom, got dinov2-vit-x");
  config = custom_teacher();
  config.layer = 3;
  EXPECT_EQ(error_of([&] { make_teacher(config, 3); }),
            "teacher.layer: must be -1 or a block from 1 to 2, got 3");
  config = custom_teacher();
  config.custom_heads = 3;
  EXPECT_EQ(error_of([&] { make_teacher(config, 3); }),
            "teacher.custom_heads: must divide custom_dim (8), got 3");
}

TEST(TeacherConfig, MissingWeightsAreAnnouncedWithFileAndKey) {
  TeacherConfig config;
  config.model = "dinov2_reg-vit-l";
  EXPECT_THAT(missing_weights_notice(config),
              HasSubstr("download dinov2_vitl14_reg4_pretrain.pth"));
  EXPECT_THAT(missing_weights_notice(config), HasSubstr("set teacher.weights"));
  config.weights = "somewhere.pth";
  EXPECT_EQ(missing_weights_notice(config), "");
}

}  // namespace
}  // namespace gear::models
