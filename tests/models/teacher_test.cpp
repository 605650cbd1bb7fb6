// The selection of teachers by name, their rules and what is said about their files.

#include "gear/models/teachers/teacher.h"

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "gear/models/teachers/dinov2.h"
#include "gear/models/teachers/dinov3.h"
#include "gear/nn/meta_scope.h"
#include "models/teacher_testing.h"

// g grid side

namespace gear::models {
namespace {

using testing::custom_teacher;
using ::testing::HasSubstr;
using testing::parameters_by_name;
using testing::write_tensors;

TeacherConfig named(const std::string& model) {
  TeacherConfig config;
  config.model = model;
  return config;
}

/// The sentence that a whole configuration without file gets about pictures and grid.
std::string image_error(const std::string& model, int64_t image_size, int64_t grid) {
  const config::Node root;
  return message_of(
      [&] { check_teacher_images(named(model), image_size, grid, config::Where(&root, "")); });
}

TEST(Teachers, OfEveryPublishedNameHaveTheirFeatureWidth) {
  const std::vector<std::pair<std::string, int64_t>> widths = {
      {"dinov2-vit-s", 384},      {"dinov2-vit-b", 768},      {"dinov2-vit-l", 1024},
      {"dinov2-vit-g", 1536},     {"dinov2_reg-vit-s", 384},  {"dinov2_reg-vit-b", 768},
      {"dinov2_reg-vit-l", 1024}, {"dinov2_reg-vit-g", 1536}, {"dinov3-vit-s", 384},
      {"dinov3-vit-splus", 384},  {"dinov3-vit-b", 768},      {"dinov3-vit-l", 1024},
      {"dinov3-vit-lplus", 1024}, {"dinov3-vit-hplus", 1280}, {"dinov3-vit-7b", 4096},
      {"siglip2-vit-b", 768},     {"siglip2-vit-l", 1024},    {"siglip2-vit-so400m", 1152},
      {"clip-vit-L", 1024},       {"jepa21-vit-b", 768},      {"jepa21-vit-l", 1024},
      {"jepa21-vit-g", 1408},     {"jepa21-vit-G", 1664}};
  const nn::MetaScope meta;
  for (const auto& [model, width] : widths) {
    EXPECT_EQ(make_teacher(named(model), 16)->feature_dim(), width) << model;
    EXPECT_EQ(image_error(model, 256, 16), "no error") << model;
  }
}

TEST(Teachers, AreFrozenAndInEvalMode) {
  const auto teacher = make_teacher(custom_teacher(), 3);
  EXPECT_FALSE(teacher->is_training());
  for (const auto& parameter : teacher->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST(Teachers, UnknownNamesAreToldWithAllKnownOnes) {
  EXPECT_EQ(message_of([&] { make_teacher(named("dinov2-vit-x"), 3); }),
            "teacher.model: must be one of dinov2-vit-{s,b,l,g}, dinov2_reg-vit-{s,b,l,g}, "
            "dinov3-vit-{s,splus,b,l,lplus,hplus,7b}, siglip2-vit-{b,l,so400m}, clip-vit-L, "
            "jepa21-vit-{b,l,g,G}, dinov2-custom, or several of them separated by commas, got "
            "dinov2-vit-x; did you mean dinov2-vit-s?");
  for (const std::string model : {"clip-vit-B", "siglip2-vit-g", "dinov3-vit-", "dinov2", ""}) {
    EXPECT_THAT(message_of([&] { make_teacher(named(model), 3); }), HasSubstr("must be one of"))
        << model;
  }
}

TEST(Teachers, LayersAndHeadsMustExist) {
  auto config = custom_teacher();
  config.layer = 3;
  EXPECT_EQ(message_of([&] { make_teacher(config, 3); }),
            "teacher.layer: must be -1 or a block from 1 to 2 of dinov2-custom, got 3");
  config = custom_teacher();
  config.custom_heads = 3;
  EXPECT_EQ(message_of([&] { make_teacher(config, 3); }),
            "teacher.custom_heads: must divide custom_dim (8), got 3");
  config = named("clip-vit-L, jepa21-vit-G");
  config.layer = 30;
  const config::Node root;
  EXPECT_EQ(message_of([&] { config.check(config::Where(&root, "teacher.")); }),
            "teacher.layer (default): must be -1 or a block from 1 to 24 of clip-vit-L, got 30");
}

TEST(Teachers, OfAListAreSplitWithTheirFiles) {
  auto config = named("dinov2-vit-b, siglip2-vit-l,clip-vit-L");
  config.weights = "a.pth,, c d.pt ";
  config.layer = 4;
  const auto singles = single_teachers(config);
  ASSERT_EQ(singles.size(), 3U);
  EXPECT_EQ(singles[0].model, "dinov2-vit-b");
  EXPECT_EQ(singles[1].model, "siglip2-vit-l");
  EXPECT_EQ(singles[2].model, "clip-vit-L");
  EXPECT_EQ(singles[0].weights, "a.pth");
  EXPECT_EQ(singles[1].weights, "");
  EXPECT_EQ(singles[2].weights, "c d.pt");
  for (const auto& single : singles) EXPECT_EQ(single.layer, 4);

  config.weights = "";
  for (const auto& single : single_teachers(config)) EXPECT_EQ(single.weights, "");
  config.weights = "a.pth";
  EXPECT_EQ(message_of([&] { single_teachers(config); }),
            "teacher.weights: must name one file for each of the 3 teachers, separated by commas "
            "(nothing in a place: random weights), got 1");
  auto alone = named("dinov2-vit-b");
  alone.weights = "with,comma.pth";
  EXPECT_EQ(single_teachers(alone).at(0).weights, "with,comma.pth");
}

TEST(Teachers, OtherThanDinov2TakeThePictureSizesOfTheirWeights) {
  EXPECT_EQ(image_error("dinov2-vit-b", 384, 24), "no error");
  EXPECT_EQ(image_error("dinov2_reg-vit-b", 1024, 64), "no error");
  EXPECT_EQ(image_error("dinov3-vit-b", 1024, 64), "no error");
  EXPECT_EQ(image_error("jepa21-vit-G", 512, 32), "no error");
  EXPECT_EQ(image_error("siglip2-vit-l", 512, 32), "no error");
  const std::string start = "data.image_size (default): must be ";
  EXPECT_EQ(image_error("dinov3-vit-b", 384, 24),
            start + "256, 512 or 1024 for the teacher dinov3-vit-b, got 384");
  EXPECT_EQ(image_error("dinov2-vit-b,siglip2-vit-b", 1024, 64),
            start + "256 or 512 for the teacher siglip2-vit-b, got 1024");
  EXPECT_EQ(image_error("clip-vit-L", 512, 32), start + "256 for the teacher clip-vit-L, got 512");
}

TEST(Teachers, OtherThanDinov2NeedTokensOfSixteenPixels) {
  EXPECT_EQ(image_error("dinov2-vit-b", 256, 32), "no error");
  EXPECT_EQ(image_error("jepa21-vit-b", 256, 32),
            "teacher.model (default): jepa21-vit-b has one feature for 16 x 16 pixels, but a token "
            "of the tokenizer covers 8 x 8; change tokenizer.ch_mult, or take a dinov2 teacher");
}

TEST(Teachers, WithoutWeightsAreAnnouncedWithFileAndKey) {
  const auto notice = [](const std::string& model) { return missing_weights_notice(named(model)); };
  const std::vector<std::pair<std::string, std::string>> files = {
      {"dinov2-vit-g", "dinov2_vitg14_pretrain.pth"},
      {"dinov2_reg-vit-l", "dinov2_vitl14_reg4_pretrain.pth"},
      {"dinov3-vit-b", "dinov3_vitb16_pretrain_lvd1689m-<hash>.pth"},
      {"dinov3-vit-hplus", "dinov3_vith16plus_pretrain_lvd1689m-<hash>.pth"},
      {"dinov3-vit-7b", "dinov3_vit7b16_pretrain_lvd1689m-<hash>.pth"},
      {"siglip2-vit-so400m", "model.safetensors of google/siglip2-so400m-patch16-256"},
      {"clip-vit-L", "ViT-L-14.pt"},
      {"jepa21-vit-l", "vjepa2_1_vitl_dist_vitG_384.pt"},
      {"jepa21-vit-G", "vjepa2_1_vitG_384.pt"}};
  for (const auto& [model, file] : files) {
    EXPECT_THAT(notice(model), HasSubstr("the teacher " + model + " has random weights"));
    EXPECT_THAT(notice(model), HasSubstr("download " + file));
    EXPECT_THAT(notice(model), HasSubstr("set teacher.weights to its path"));
  }
  EXPECT_THAT(notice("dinov2-custom"), HasSubstr("set teacher.model to dinov2-vit-b"));
  auto given = named("clip-vit-L");
  given.weights = "somewhere.pt";
  EXPECT_EQ(missing_weights_notice(given), "");
}

TEST(TeacherWeights, OfAnotherFamilyAreRefusedWithBothNames) {
  const auto dinov3 =
      write_tensors("family.safetensors",
                    parameters_by_name(Dinov3({.dim = 8, .depth = 1, .heads = 1, .hidden = 8})));
  auto teacher = custom_teacher();
  teacher.weights = dinov3;
  EXPECT_EQ(message_of([&] { make_teacher(teacher, 3); }),
            dinov3.string() +
                ": holds a DINOv3 encoder (it has storage_tokens), expected DINOv2; set "
                "teacher.model to that family, for example dinov3-vit-b, or teacher.weights to a "
                "file such as dinov2_vitb14_pretrain.pth");
  const auto dinov2 = write_tensors(
      "family2.safetensors",
      parameters_by_name(Dinov2({.dim = 8, .depth = 1, .heads = 1, .hidden = 8, .grid = 2})));
  Dinov3 model({.dim = 8, .depth = 1, .heads = 1, .hidden = 8});
  EXPECT_THAT(message_of([&] { load_dinov3_weights(model, dinov2); }),
              HasSubstr("holds a DINOv2 encoder (it has pos_embed), expected DINOv3"));
}

TEST(TeacherWeights, OfAnotherNetworkAreRefused) {
  auto teacher = custom_teacher();
  teacher.weights = write_tensors("other.safetensors", {{"conv.weight", at::randn({2, 2})}});
  EXPECT_EQ(message_of([&] { make_teacher(teacher, 3); }),
            teacher.weights +
                ": lacks pos_embed, so it is no file of a DINOv2 encoder; set teacher.weights to "
                "one, such as dinov2_vitb14_pretrain.pth");
}

}  // namespace
}  // namespace gear::models
