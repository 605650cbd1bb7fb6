#include "gear/models/teachers/siglip2.h"

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "gear/nn/meta_scope.h"
#include "models/teacher_testing.h"

// N patches, D width

namespace gear::models {
namespace {

using testing::expect_early_stop;
using testing::parameter_count;
using testing::parameters_by_name;
using testing::random_images;
using testing::write_tensors;

Siglip2Config small_config() { return {.dim = 8, .depth = 2, .heads = 2, .hidden = 12, .grid = 3}; }

/// The tower as it stands in the file of the whole model, with some of what stands beside it.
io::TensorMap whole_model(const Siglip2& model) {
  io::TensorMap tensors = {{"vision_model.head.probe", at::randn({1, 1, 8})},
                           {"text_model.final_layer_norm.weight", at::randn({8})},
                           {"logit_scale", at::randn({1})}};
  for (const auto& [name, tensor] : parameters_by_name(model)) {
    tensors["vision_model." + name] = tensor;
  }
  return tensors;
}

/// Parameters of a tower without its head.
int64_t counted(const Siglip2Config& config) {
  const int64_t dim = config.dim;
  const int64_t attention = 4 * (dim * dim + dim);
  const int64_t mlp = 2 * dim * config.hidden + config.hidden + dim;
  const int64_t embeddings = 3 * 16 * 16 * dim + dim + config.grid * config.grid * dim;
  return config.depth * (attention + mlp + 4 * dim) + embeddings + 2 * dim;
}

TEST(Siglip2, PublishedSizesHaveTheirParameterCounts) {
  const nn::MetaScope meta;
  for (const std::string size : {"b", "l", "so400m"}) {
    for (const int64_t grid : {16, 32}) {
      const auto config = siglip2_config(size, grid);
      EXPECT_EQ(parameter_count(Siglip2(config)), counted(config)) << size << " " << grid;
    }
  }
}

TEST(Siglip2, HasTheNamesAndShapesOfThePublishedFiles) {
  const nn::MetaScope meta;
  const auto names = parameters_by_name(Siglip2(siglip2_config("so400m", 32)));
  EXPECT_EQ(names.size(), 3U + 27U * 16U + 2U);
  const auto sizes_of = [&](const std::string& name) { return names.at(name).sizes(); };
  EXPECT_EQ(sizes_of("embeddings.patch_embedding.weight"), at::IntArrayRef({1152, 3, 16, 16}));
  EXPECT_EQ(sizes_of("embeddings.position_embedding.weight"), at::IntArrayRef({1024, 1152}));
  EXPECT_EQ(sizes_of("encoder.layers.26.self_attn.out_proj.weight"), at::IntArrayRef({1152, 1152}));
  EXPECT_EQ(sizes_of("encoder.layers.0.mlp.fc1.weight"), at::IntArrayRef({4304, 1152}));
  EXPECT_EQ(sizes_of("post_layernorm.bias"), at::IntArrayRef({1152}));
}

TEST(Siglip2, PreprocessingCentresThePixels) {
  const Siglip2 model(small_config());
  for (const auto& [byte, pixel] : {std::pair{0, -1.0}, std::pair{255, 1.0}}) {
    const auto image = at::full({1, 3, 48, 48}, byte, at::kByte);
    EXPECT_EQ((model.preprocess(image) - pixel).abs().max().item<float>(), 0.0F);
  }
}

TEST(Siglip2, TakesTheTanhFormOfTheGelu) {
  torch::manual_seed(1);
  GeluMlp mlp(1, 1, Gelu::kTanh);
  mlp.fc1->weight.detach().fill_(1.0);
  mlp.fc1->bias.detach().zero_();
  mlp.fc2->weight.detach().fill_(1.0);
  mlp.fc2->bias.detach().zero_();
  const double x = -1.7;
  const double expected =
      0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  const double found = mlp.forward(at::full({1, 1}, x)).item<double>();
  EXPECT_NEAR(found, expected, 1e-6);
  EXPECT_GT(std::abs(found - 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)))), 1e-5);
}

TEST(Siglip2, StopsAtTheChosenBlock) {
  expect_early_stop<Siglip2>(small_config(), "encoder.layers.", random_images(48));
}

TEST(Siglip2Weights, AreReadFromTheWholeModelAndFromTheTowerAlone) {
  torch::manual_seed(2);
  const auto images = random_images(48);
  Siglip2 original(small_config());
  const auto expected = original.encode(images);
  const auto whole = write_tensors("siglip2.safetensors", whole_model(original));
  const auto tower = write_tensors("siglip2_tower.safetensors", parameters_by_name(original));
  for (const auto& path : {whole, tower}) {
    Siglip2 model(small_config());
    load_siglip2_weights(model, path);
    EXPECT_TRUE(model.encode(images).equal(expected)) << path;
  }
}

TEST(Siglip2Weights, OfAnotherPictureSizeAreRefused) {
  const auto path =
      write_tensors("siglip2_small.safetensors", whole_model(Siglip2(small_config())));
  auto config = small_config();
  config.grid = 4;
  Siglip2 model(config);
  EXPECT_EQ(message_of([&] { load_siglip2_weights(model, path); }),
            path.string() +
                ": embeddings.position_embedding.weight: has 9 rows, for pictures of 48 pixels; "
                "expected 16 for 64; get the file for this size, or set data.image_size to that "
                "of the file");
}

}  // namespace
}  // namespace gear::models
