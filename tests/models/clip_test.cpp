#include "gear/models/teachers/clip.h"

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/utils.h>

#include <cmath>

#include "gear/models/teachers/pixels.h"
#include "gear/nn/meta_scope.h"
#include "models/teacher_testing.h"

// g grid side, N = g^2 patches, D width

namespace gear::models {
namespace {

using testing::expect_early_stop;
using testing::expect_same_tensors;
using testing::parameter_count;
using testing::parameters_by_name;
using testing::random_images;
using testing::replaced;
using testing::scratch_file;
using testing::split_qkv;
using testing::write_tensors;

ClipConfig small_config() {
  return {.dim = 8, .depth = 2, .heads = 2, .hidden = 32, .grid = 3, .output_dim = 4};
}

io::TensorMap as_hugging_face(const Clip& model) {
  auto tensors = parameters_by_name(model);
  tensors.erase("proj");  // visual_projection, transposed, outside of the tower
  const std::string tower = "vision_model.";
  return split_qkv(
      tensors, "attn.in_proj_", {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."},
      [&](const std::string& name) {
        return tower +
               replaced(name, {{"class_embedding", "embeddings.class_embedding"},
                               {"positional_embedding", "embeddings.position_embedding.weight"},
                               {"conv1.", "embeddings.patch_embedding."},
                               {"ln_pre.", "pre_layrnorm."},
                               {"ln_post.", "post_layernorm."},
                               {"transformer.resblocks.", "encoder.layers."},
                               {"ln_1.", "layer_norm1."},
                               {"ln_2.", "layer_norm2."},
                               {"attn.out_proj.", "self_attn.out_proj."},
                               {"mlp.c_fc.", "mlp.fc1."},
                               {"mlp.c_proj.", "mlp.fc2."}});
      });
}

/// Parameters and children of `module` in half precision, as TorchScript saves them.
torch::jit::Module as_script(const torch::nn::Module& module, const std::string& name) {
  torch::jit::Module script(name);
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    script.register_parameter(item.key(), item.value().detach().to(at::kHalf), false);
  }
  for (const auto& child : module.named_children()) {
    script.register_module(child.key(), as_script(*child.value(), name + "_" + child.key()));
  }
  return script;
}

/// The tower in a file like the official one, which holds the text encoder as well.
std::filesystem::path write_script(const Clip& model) {
  torch::jit::Module root("Multimodal");
  root.register_module("visual", as_script(model, "VisualTransformer"));
  root.register_parameter("positional_embedding", at::randn({77, 8}), false);
  root.register_attribute("vocab_size", c10::IntType::get(), int64_t{49408});
  const auto path = scratch_file("ViT-tiny.pt");
  root.save(path.string());
  return path;
}

TEST(Clip, PublishedTowerHasItsParameterCount) {
  const nn::MetaScope meta;
  EXPECT_EQ(parameter_count(Clip(ClipConfig())), 303966208);
}

TEST(Clip, HasTheNamesAndShapesOfTheOfficialFile) {
  const nn::MetaScope meta;
  const auto names = parameters_by_name(Clip(ClipConfig()));
  EXPECT_EQ(names.size(), 4U + 4U + 24U * 12U);
  const auto sizes_of = [&](const std::string& name) { return names.at(name).sizes(); };
  EXPECT_EQ(sizes_of("conv1.weight"), at::IntArrayRef({1024, 3, 14, 14}));
  EXPECT_EQ(sizes_of("class_embedding"), at::IntArrayRef({1024}));
  EXPECT_EQ(sizes_of("positional_embedding"), at::IntArrayRef({257, 1024}));
  EXPECT_EQ(sizes_of("proj"), at::IntArrayRef({1024, 768}));
  EXPECT_EQ(sizes_of("transformer.resblocks.23.attn.in_proj_weight"),
            at::IntArrayRef({3072, 1024}));
  EXPECT_EQ(sizes_of("transformer.resblocks.0.mlp.c_fc.weight"), at::IntArrayRef({4096, 1024}));
}

TEST(Clip, PicturesAreResizedBeforeTheyAreNormalised) {
  torch::manual_seed(1);
  const Clip model(ClipConfig{.dim = 8, .depth = 1, .heads = 2, .hidden = 8});
  const auto image = random_images(256);
  const auto expected = normalize_pixels(resize_pixels(unit_pixels(image), 224), kClipPixels);
  EXPECT_TRUE(model.preprocess(image).equal(expected));
  const auto grey = model.preprocess(at::full({1, 3, 256, 256}, 51, at::kByte));
  EXPECT_NEAR(grey[0][2][0][0].item<double>(), (0.2 - 0.40821073) / 0.27577711, 1e-5);
}

TEST(Clip, ActivationIsTheQuickGelu) {
  ClipMlp mlp(1, 1);
  for (auto& parameter : mlp->parameters()) parameter.detach().fill_(1.0);
  const double y = 0.7 + 1.0;
  const double expected = y / (1.0 + std::exp(-1.702 * y)) + 1.0;
  EXPECT_NEAR(mlp(at::full({1, 1}, 0.7)).item<double>(), expected, 1e-6);
}

TEST(Clip, OutputIsThatOfTheLastBlockWithoutTheClassToken) {
  torch::manual_seed(2);
  Clip model(small_config());
  model.initialize_randomly();
  const auto images = random_images(48);
  const auto tokens = model.hidden(model.preprocess(images), 2);
  ASSERT_EQ(tokens.sizes(), at::IntArrayRef({2, 10, 8}));
  EXPECT_TRUE(model.encode(images).equal(tokens.slice(1, 1)));
}

TEST(Clip, StopsAtTheChosenBlock) {
  expect_early_stop<Clip>(small_config(), "transformer.resblocks.", random_images(48));
}

TEST(ClipWeights, HuggingFaceNamesBecomeOfficialNames) {
  torch::manual_seed(3);
  Clip model(small_config());
  model.initialize_randomly();
  auto expected = parameters_by_name(model);
  expected.erase("proj");
  expect_same_tensors(with_clip_names(as_hugging_face(model)), expected);
}

TEST(ClipWeights, OfTheTorchScriptArchiveBecomeSinglePrecision) {
  torch::manual_seed(4);
  Clip original(small_config());
  original.initialize_randomly();
  Clip model(small_config());
  load_clip_weights(model, write_script(original));
  auto expected = parameters_by_name(original);
  for (auto& [name, tensor] : expected) tensor = tensor.to(at::kHalf).to(at::kFloat);
  expect_same_tensors(parameters_by_name(model), expected);
}

TEST(ClipWeights, OfTheSafetensorsExportGiveTheSameFeatures) {
  torch::manual_seed(5);
  const auto images = random_images(48);
  Clip original(small_config());
  original.initialize_randomly();
  Clip model(small_config());
  load_clip_weights(model, write_tensors("clip.safetensors", as_hugging_face(original)));
  EXPECT_TRUE(model.encode(images).equal(original.encode(images)));
}

TEST(ClipWeights, OfAnotherPatchSizeAreRefused) {
  auto config = small_config();
  config.patch = 16;
  io::TensorMap tensors;
  for (const auto& [name, tensor] : parameters_by_name(Clip(config))) {
    tensors["visual." + name] = tensor;
  }
  const auto path = write_tensors("clip16.safetensors", tensors);
  Clip model(small_config());
  EXPECT_EQ(message_of([&] { load_clip_weights(model, path); }),
            path.string() +
                ": conv1.weight: expected [8, 3, 14, 14], got [8, 3, 16, 16]; teacher.model and "
                "teacher.weights must be of the same size");
}

}  // namespace
}  // namespace gear::models
