#include "gear/models/teachers/vjepa2.h"

#include <ATen/ops/conv3d.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/utils.h>

#include <cmath>
#include <fstream>
#include <map>

#include "gear/nn/meta_scope.h"
#include "gear/nn/rotary.h"
#include "models/teacher_testing.h"

// N patches, D width, d head width

namespace gear::models {
namespace {

using testing::expect_early_stop;
using testing::parameter_count;
using testing::parameters_by_name;
using testing::random_images;
using testing::write_tensors;

Vjepa2Config small_config() { return {.dim = 32, .depth = 2, .heads = 2, .hidden = 40}; }

int64_t counted(const Vjepa2Config& config) {
  const int64_t dim = config.dim;
  const int64_t attention = 4 * (dim * dim + dim);
  const int64_t mlp = 2 * dim * config.hidden + config.hidden + dim;
  const int64_t patches = 3 * 16 * 16 * dim + dim;
  return config.depth * (attention + mlp + 4 * dim) + patches + dim + 4 * 2 * dim;
}

TEST(Vjepa2, PublishedSizesHaveTheirParameterCounts) {
  const nn::MetaScope meta;
  for (const char size : {'b', 'l', 'g', 'G'}) {
    const auto config = vjepa2_config(size);
    EXPECT_EQ(config.dim / config.heads, 64) << size;
    EXPECT_EQ(parameter_count(Vjepa2(config)), counted(config)) << size;
  }
  EXPECT_EQ(counted(vjepa2_config('b')), 85651968);
  EXPECT_EQ(counted(vjepa2_config('G')), 1842657536);
}

TEST(Vjepa2, HasTheNamesAndShapesOfThePublishedFiles) {
  const nn::MetaScope meta;
  const auto names = parameters_by_name(Vjepa2(vjepa2_config('g')));
  EXPECT_EQ(names.size(), 1U + 2U + 40U * 12U + 8U);
  const auto sizes_of = [&](const std::string& name) { return names.at(name).sizes(); };
  EXPECT_EQ(sizes_of("patch_embed_img.proj.weight"), at::IntArrayRef({1408, 3, 1, 16, 16}));
  EXPECT_EQ(sizes_of("img_mod_embed"), at::IntArrayRef({1, 1, 1408}));
  EXPECT_EQ(sizes_of("blocks.39.attn.qkv.weight"), at::IntArrayRef({4224, 1408}));
  EXPECT_EQ(sizes_of("blocks.0.mlp.fc1.weight"), at::IntArrayRef({6144, 1408}));
  EXPECT_EQ(sizes_of("norms_block.3.weight"), at::IntArrayRef({1408}));
  EXPECT_FALSE(names.contains("blocks.0.ls1.gamma"));
}

/// Angle by which pair `pair` (channels 2 pair and 2 pair + 1) of cell `cell` turns.
double angle(const Tensor& table, int64_t cell, int64_t pair) {
  return std::atan2(table[cell][pair][1].item<double>(), table[cell][pair][0].item<double>());
}

// A head of 64 channels: 20 for time, 20 for the row, 20 for the column, 4 left over.
TEST(Vjepa2, RotaryTableHasThreeSectionsAndARest) {
  const auto table = vjepa2_rotary_table(16, 16, 64);
  ASSERT_EQ(table.sizes(), at::IntArrayRef({256, 32, 2}));
  const int64_t row = 2, column = 3, cell = row * 16 + column;
  for (int64_t j = 0; j < 10; ++j) {
    const double frequency = std::pow(10000.0, -static_cast<double>(j) / 10.0);
    EXPECT_EQ(angle(table, cell, j), 0.0);
    EXPECT_NEAR(angle(table, cell, 10 + j), static_cast<double>(row) * frequency, 1e-5);
    EXPECT_NEAR(angle(table, cell, 20 + j), static_cast<double>(column) * frequency, 1e-5);
  }
  EXPECT_EQ(angle(table, cell, 30), 0.0);
  EXPECT_EQ(angle(table, cell, 31), 0.0);
}

TEST(Vjepa2, PositionsAreStretchedToTheGridOfPreTraining) {
  const auto table = vjepa2_rotary_table(32, 24, 64);
  const auto position = [&](int64_t cell, int64_t pair) {
    const double found = angle(table, cell, pair);
    return found * std::pow(10000.0, 0.1);  // of the second frequency, which turns by less than pi
  };
  EXPECT_NEAR(position(5 * 24, 11), 5.0 * 15.0 / 31.0, 1e-5);
  EXPECT_NEAR(position(7, 21), 7.0 * 15.0 / 23.0, 1e-5);
}

TEST(Vjepa2, AdjacentChannelsTurnTogether) {
  torch::manual_seed(1);
  const auto table = vjepa2_rotary_table(2, 2, 64);
  const auto x = at::randn({1, 4, 1, 64});
  const auto turned = nn::apply_rotary(x, table);
  const double by = angle(table, 3, 12);
  const double a = x[0][3][0][24].item<double>(), b = x[0][3][0][25].item<double>();
  EXPECT_NEAR(turned[0][3][0][24].item<double>(), a * std::cos(by) - b * std::sin(by), 1e-5);
  EXPECT_NEAR(turned[0][3][0][25].item<double>(), b * std::cos(by) + a * std::sin(by), 1e-5);
  EXPECT_TRUE(turned.slice(-1, 60).equal(x.slice(-1, 60)));
}

TEST(Vjepa2, PatchesAreThoseOfTheConvolutionOverOneFrame) {
  torch::manual_seed(2);
  ImagePatchEmbed embed(16, 8);
  const auto pixels = at::randn({2, 3, 32, 48});
  const auto maps = at::conv3d(pixels.unsqueeze(2), embed->proj->weight, embed->proj->bias,
                               /*stride=*/{1, 16, 16});
  const auto expected = maps.flatten(2).transpose(1, 2);  // [2, 6, 8]
  EXPECT_LT((embed(pixels) - expected).abs().max().item<float>(), 1e-5);
}

TEST(Vjepa2, TheLastOfTheFourNormsGivesTheOutput) {
  torch::manual_seed(3);
  Vjepa2 model(small_config());
  const auto images = random_images(48);
  const auto tokens = model.hidden(model.preprocess(images), 2);
  EXPECT_EQ(tokens.sizes(), at::IntArrayRef({2, 9, 32}));
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : parameters_by_name(model)) {
    if (name.starts_with("norms_block.") && !name.starts_with("norms_block.3")) tensor.zero_();
  }
  const auto centred = tokens - tokens.mean(-1, true);
  const auto expected = centred / (centred.square().mean(-1, true) + 1e-6).sqrt();
  EXPECT_LT((model.encode(images) - expected).abs().max().item<float>(), 1e-4);
}

TEST(Vjepa2, StopsAtTheChosenBlock) {
  expect_early_stop<Vjepa2>(small_config(), "blocks.", random_images(48));
}

TEST(Vjepa2Weights, LoseTheirWrappersAndTheVideoPathIsIgnored) {
  torch::manual_seed(4);
  const auto images = random_images(48);
  Vjepa2 original(small_config());
  io::TensorMap tensors = {
      {"module.backbone.patch_embed.proj.weight", at::randn({32, 3, 2, 16, 16})},
      {"module.backbone.video_mod_embed", at::randn({1, 1, 32})}};
  for (const auto& [name, tensor] : parameters_by_name(original)) {
    tensors["module.backbone." + name] = tensor;
  }
  Vjepa2 model(small_config());
  load_vjepa2_weights(model, write_tensors("vjepa2.safetensors", tensors));
  EXPECT_TRUE(model.encode(images).equal(original.encode(images)));
}

/// A file like the published ones: a dictionary of dictionaries of tensors.
std::filesystem::path write_dictionary(const std::string& name,
                                       const std::map<std::string, io::TensorMap>& sections) {
  c10::Dict<std::string, c10::Dict<std::string, Tensor>> root;
  for (const auto& [section, tensors] : sections) {
    c10::Dict<std::string, Tensor> dictionary;
    for (const auto& [key, tensor] : tensors) dictionary.insert("module." + key, tensor);
    root.insert(section, dictionary);
  }
  const auto bytes = torch::jit::pickle_save(root);
  const auto path = testing::scratch_file(name);
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

TEST(Vjepa2Weights, OfADictionaryAreTheAveragedOnesWhereItHasThem) {
  torch::manual_seed(5);
  const auto images = random_images(48);
  Vjepa2 live(small_config()), target(small_config()), average(small_config());
  const auto of = [](const Vjepa2& model) { return parameters_by_name(model); };
  const auto features = [&](const std::map<std::string, io::TensorMap>& sections) {
    Vjepa2 model(small_config());
    load_vjepa2_weights(model, write_dictionary("vjepa2.pt", sections));
    return model.encode(images);
  };
  const io::TensorMap predictor = {{"mask_token", at::randn({1})}};
  EXPECT_TRUE(features({{"encoder", of(live)},
                        {"ema_encoder", of(average)},
                        {"target_encoder", of(target)},
                        {"predictor", predictor}})
                  .equal(average.encode(images)));
  EXPECT_TRUE(features({{"encoder", of(live)}, {"target_encoder", of(target)}})
                  .equal(target.encode(images)));
  EXPECT_TRUE(features({{"encoder", of(live)}}).equal(live.encode(images)));
}

TEST(Vjepa2Weights, OfADictionaryWithoutAnEncoderAreRefused) {
  const auto path = write_dictionary("predictor.pt", {{"predictor", {{"mask", at::randn({1})}}}});
  Vjepa2 model(small_config());
  EXPECT_EQ(message_of([&] { load_vjepa2_weights(model, path); }),
            path.string() +
                ": holds none of ema_encoder, target_encoder, encoder and no tensors at its top "
                "level; found the keys predictor; name a file that has one of them");
}

}  // namespace
}  // namespace gear::models
