#include "gear/models/tokenizers/tokenizer.h"

#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "error_message.h"
#include "gear/nn/autocast.h"
#include "gear/nn/meta_scope.h"

// B batch, S image side, N tokens an image

namespace gear::models {
namespace {

TokenizerConfig small_config() {
  TokenizerConfig config;
  config.ch = 32;
  config.ch_mult = {1, 2};
  config.num_res_blocks = 1;
  config.z_channels = 16;
  config.quantizer.codebook_size = 32;
  config.quantizer.codebook_dim = 4;
  return config;
}

std::shared_ptr<Tokenizer> small_tokenizer() {
  torch::manual_seed(1);
  return make_tokenizer(small_config());
}

TEST(Tokenizer, BuiltOnTheMetaDeviceHasNoStorage) {
  const nn::MetaScope meta;
  for (const auto& parameter : make_tokenizer({})->parameters()) EXPECT_TRUE(parameter.is_meta());
}

TEST(Tokenizer, BuiltAfterAMetaScopeIsOnTheCpuAgain) {
  { const nn::MetaScope meta; }
  for (const auto& parameter : small_tokenizer()->parameters()) EXPECT_TRUE(parameter.is_cpu());
}

TEST(Tokenizer, ForwardGivesOneTokenPerCellOfADifferentWidthAndHeight) {
  const auto tokenized = small_tokenizer()->forward(at::rand({2, 3, 8, 12}));
  EXPECT_EQ(tokenized.z.sizes(), at::IntArrayRef({2, 4, 4, 6}));
  EXPECT_EQ(tokenized.quantized.z_q.sizes(), at::IntArrayRef({2, 4, 4, 6}));
  EXPECT_EQ(tokenized.quantized.ids.sizes(), at::IntArrayRef({48}));
  EXPECT_EQ(tokenized.quantized.costs.matrix().sizes(), at::IntArrayRef({48, 32}));
  EXPECT_EQ(tokenized.reconstruction.sizes(), at::IntArrayRef({2, 3, 8, 12}));
}

TEST(Tokenizer, WithItsOwnDecoderWidthsKeepsTheImageSize) {
  auto config = small_config();
  config.decoder_ch_mult = {2, 3};
  const auto image = at::rand({1, 3, 8, 8});
  EXPECT_EQ(make_tokenizer(config)->forward(image).reconstruction.sizes(), image.sizes());
}

TEST(Tokenizer, RefusesAnImageThatTheLevelsDoNotDivide) {
  const auto tokenizer = small_tokenizer();
  EXPECT_EQ(message_of([&] {
              tokenizer->encode(at::rand({1, 3, 8, 9}));
            }),
            "tokenizer: images have 8 x 9 pixels, but with 2 levels both sides must be multiples "
            "of 2; choose another image size or another tokenizer.ch_mult");
}

TEST(Tokenizer, RefusesIdsThatDoNotFillASquareGrid) {
  const auto tokenizer = small_tokenizer();
  EXPECT_EQ(message_of([&] {
              tokenizer->decode_ids(at::randint(32, {1, 15}, at::kLong));
            }),
            "tokenizer: 15 tokens an image do not fill a square grid; give a square number of "
            "them");
}

TEST(Tokenizer, DecodedIdsOfAnImageAreItsReconstruction) {
  const auto tokenizer = small_tokenizer();
  tokenizer->eval();
  const at::NoGradGuard no_grad;
  const auto image = at::rand({3, 3, 8, 8});
  const auto tokenized = tokenizer->forward(image);
  const auto ids = tokenizer->encode_ids(image);
  EXPECT_EQ(ids.sizes(), at::IntArrayRef({3, 16}));
  EXPECT_TRUE(ids.flatten().equal(tokenized.quantized.ids));
  // The straight-through sum rounds, so z_q differs from the code in the last bit.
  EXPECT_TRUE(tokenizer->decode_ids(ids).allclose(tokenized.reconstruction, 0, 1e-5));
}

TEST(Tokenizer, KeepsChannelsLastAndGivesTheSameNumbersInBothFormats) {
  const auto tokenizer = small_tokenizer();
  const auto image = at::rand({2, 3, 16, 16});
  const auto plain = tokenizer->forward(image);
  const auto last = tokenizer->forward(image.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(plain.reconstruction.is_contiguous());
  EXPECT_TRUE(last.reconstruction.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(plain.reconstruction.allclose(last.reconstruction, 0, 1e-4));
}

TEST(Tokenizer, GivesFloat32UnderAutocast) {
  const auto tokenizer = small_tokenizer();
  const nn::AutocastScope mixed(at::kCPU, true);
  const auto tokenized = tokenizer->forward(at::rand({1, 3, 8, 8}));
  EXPECT_EQ(tokenized.z.scalar_type(), at::kFloat);
  EXPECT_EQ(tokenized.reconstruction.scalar_type(), at::kFloat);
}

TEST(Tokenizer, DropsOutInTrainModeOnly) {
  auto config = small_config();
  config.dropout = 0.5;
  const auto tokenizer = make_tokenizer(config);
  const auto image = at::rand({1, 3, 8, 8});
  EXPECT_FALSE(tokenizer->encode(image).equal(tokenizer->encode(image)));
  tokenizer->eval();
  EXPECT_TRUE(tokenizer->encode(image).equal(tokenizer->encode(image)));
}

TEST(TokenizerConfig, WantsAsManyDecoderLevelsAsEncoderLevels) {
  const config::Node root;
  TokenizerConfig config = small_config();
  config.decoder_ch_mult = {1, 2, 2};
  EXPECT_THROW(config.check(config::Where(&root, "tokenizer.")), Error);
}

TEST(PixelRange, OfBytesBecomesMinusOneToOneAndBack) {
  const auto bytes = at::tensor({0, 1, 127, 128, 254, 255}, at::kByte);
  const auto values = to_signed_unit(bytes);
  EXPECT_FLOAT_EQ(values[0].item<float>(), -1.0F);
  EXPECT_FLOAT_EQ(values[5].item<float>(), 1.0F);
  EXPECT_TRUE(to_uint8(values).equal(bytes));
  EXPECT_TRUE(to_uint8(at::tensor({-3.0F, 3.0F})).equal(at::tensor({0, 255}, at::kByte)));
}

}  // namespace
}  // namespace gear::models
