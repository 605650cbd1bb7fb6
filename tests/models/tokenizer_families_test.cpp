#include <ATen/ops/arange.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <set>

#include "error_message.h"
#include "families.h"
#include "gear/models/tokenizers/lfq_tokenizer.h"
#include "gear/nn/meta_scope.h"

// B batch, S image side, N tokens an image, D code width

namespace gear::models {
namespace {

/// Parameters whose name begins with `prefix`.
int64_t parameter_count(const torch::nn::Module& module, const std::string& prefix = "") {
  int64_t count = 0;
  for (const auto& item : module.named_parameters()) {
    if (item.key().starts_with(prefix)) count += item.value().numel();
  }
  return count;
}

std::set<std::string> state_names(const torch::nn::Module& module) {
  std::set<std::string> names;
  for (const auto& item : module.named_parameters()) names.insert(item.key());
  for (const auto& item : module.named_buffers()) names.insert(item.key());
  return names;
}

TokenizerConfig vq8_config() {
  TokenizerConfig config;
  config.ch_mult = {1, 2, 2, 4};
  return config;
}

TokenizerConfig lfq_config(const QuantizerConfig& quantizer, int64_t downsample) {
  TokenizerConfig config;
  config.num_res_blocks = 4;
  config.downsample = downsample;
  config.quantizer = quantizer;
  return config;
}

TokenizerConfig lfq16_config() {
  return lfq_config({.kind = QuantizerKind::kLfq, .codebook_size = 16384, .codebook_dim = 14}, 16);
}

TokenizerConfig lfq8_config() {
  return lfq_config({.kind = QuantizerKind::kLfq, .codebook_size = 256, .codebook_dim = 8}, 8);
}

TokenizerConfig glfq16_config() {
  return lfq_config({.kind = QuantizerKind::kGlfq,
                     .codebook_size = int64_t{1} << 32,
                     .codebook_dim = 32,
                     .groups = 4},
                    16);
}

TokenizerConfig ibq16_config() {
  TokenizerConfig config;
  config.num_res_blocks = 4;
  config.quantizer = {.kind = QuantizerKind::kIbq, .codebook_dim = 256};
  return config;
}

struct PublishedSize {
  const char* name;
  TokenizerConfig config;
  int64_t downsampling, total, encoder, decoder;
  size_t tensors;
};

class PublishedTokenizer : public testing::TestWithParam<PublishedSize> {};
INSTANTIATE_TEST_SUITE_P(
    Families, PublishedTokenizer,
    testing::Values(
        PublishedSize{"Vq16", {}, 16, 71'883'403, 29'298'176, 42'449'795, 343},
        PublishedSize{"Vq8", vq8_config(), 8, 70'109'835, 28'559'232, 41'415'171, 299},
        PublishedSize{"Lfq16", lfq16_config(), 16, 115'094'033, 49'749'390, 65'344'643, 339},
        PublishedSize{"Ibq16", ibq16_config(), 16, 110'982'019, 46'752'256, 59'903'875, 543},
        PublishedSize{"Lfq8", lfq8_config(), 8, 105'014'027, 49'156'232, 55'857'795, 335},
        PublishedSize{"Glfq16", glfq16_config(), 16, 115'246'115, 49'758'624, 65'487'491, 339}),
    [](const auto& info) { return info.param.name; });

TEST_P(PublishedTokenizer, HasThePublishedNumberOfParametersAndTensors) {
  const nn::MetaScope meta;
  const auto tokenizer = make_tokenizer(GetParam().config);
  EXPECT_EQ(parameter_count(*tokenizer), GetParam().total);
  EXPECT_EQ(parameter_count(*tokenizer, "encoder."), GetParam().encoder);
  EXPECT_EQ(parameter_count(*tokenizer, "decoder."), GetParam().decoder);
  EXPECT_EQ(state_names(*tokenizer).size(), GetParam().tensors);
  EXPECT_EQ(tokenizer->config().downsampling(), GetParam().downsampling);
}

TEST_P(PublishedTokenizer, PassesTheRulesOfItsConfiguration) {
  const config::Node root;
  TokenizerConfig config = GetParam().config;
  EXPECT_NO_THROW(config.check(config::Where(&root, "tokenizer.")));
  EXPECT_NO_THROW(config.quantizer.check(config::Where(&root, "tokenizer.quantizer.")));
}

TEST(LfqTokenizer, NamesItsTensorsAsThePublishedCheckpointsDo) {
  const nn::MetaScope meta;
  const auto names = state_names(*make_tokenizer(lfq16_config()));
  for (const std::string name :
       {"encoder.conv_in.weight", "encoder.down.0.block.3.norm1.weight",
        "encoder.down.2.block.0.nin_shortcut.weight", "encoder.down.3.downsample.bias",
        "encoder.mid_block.3.conv2.weight", "encoder.conv_out.bias", "decoder.conv_in.bias",
        "decoder.up.4.upsample.conv1.weight", "decoder.adaptive.4.gamma.weight",
        "decoder.adaptive.0.beta.bias", "decoder.norm_out.weight", "decoder.conv_out.bias"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  for (const std::string name :
       {"encoder.conv_in.bias", "encoder.down.0.block.0.conv1.bias",
        "encoder.down.4.downsample.weight", "decoder.up.0.upsample.conv1.weight",
        "quantize.codebook", "quantize.mask"}) {
    EXPECT_FALSE(names.contains(name)) << name;
  }
}

TEST(LfqTokenizer, Of8PixelsATokenKeepsTheSizeBetweenItsLastTwoLevels) {
  const nn::MetaScope meta;
  const auto names = state_names(*make_tokenizer(lfq8_config()));
  EXPECT_TRUE(names.contains("encoder.down.2.downsample.weight"));
  EXPECT_FALSE(names.contains("encoder.down.3.downsample.weight"));
  EXPECT_TRUE(names.contains("decoder.up.3.upsample.conv1.weight"));
  EXPECT_FALSE(names.contains("decoder.up.4.upsample.conv1.weight"));
}

TEST(IbqTokenizer, NamesItsTensorsAsThePublishedCheckpointsDo) {
  const nn::MetaScope meta;
  const auto names = state_names(*make_tokenizer(ibq16_config()));
  for (const std::string name :
       {"encoder.down.0.block.3.conv1.bias", "encoder.down.4.attn.3.proj_out.weight",
        "encoder.down.3.downsample.conv.weight", "encoder.mid.block_1.norm1.weight",
        "encoder.mid.attn_1.q.bias", "encoder.mid.block_2.conv2.weight",
        "decoder.up.4.attn.4.norm.weight", "decoder.up.0.block.4.conv2.bias",
        "decoder.up.4.upsample.conv.weight", "quantize.embedding.weight", "quant_conv.weight",
        "post_quant_conv.bias"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  EXPECT_FALSE(names.contains("encoder.down.3.attn.0.q.weight"));
  EXPECT_FALSE(names.contains("decoder.up.0.upsample.conv.weight"));
}

TEST(IbqTokenizer, HasAttentionAtTheConfiguredLevels) {
  auto config = family("Ibq", {.kind = QuantizerKind::kIbq, .codebook_dim = 8}).config;
  config.attention_levels = {0};
  const auto names = state_names(*make_tokenizer(config));
  EXPECT_TRUE(names.contains("encoder.down.0.attn.0.q.weight"));
  EXPECT_TRUE(names.contains("decoder.up.0.attn.1.q.weight"));
  EXPECT_FALSE(names.contains("encoder.down.1.attn.0.q.weight"));
}

class TokenizerContract : public testing::TestWithParam<Family> {
 protected:
  TokenizerContract() {
    torch::manual_seed(1);
    tokenizer_ = make_tokenizer(GetParam().config);
    image_ = at::rand({2, 3, 8, 8}) * 2 - 1;
  }

  std::shared_ptr<Tokenizer> tokenizer_;
  Tensor image_;
};
INSTANTIATE_TEST_SUITE_P(Families, TokenizerContract, testing::ValuesIn(families()), family_name);

TEST_P(TokenizerContract, DecodedIdsOfAnImageAreItsReconstruction) {
  tokenizer_->eval();
  const at::NoGradGuard no_grad;
  const auto ids = tokenizer_->encode_ids(image_);
  const auto tokenized = tokenizer_->forward(image_);
  EXPECT_TRUE(ids.flatten().equal(tokenized.quantized.ids));
  EXPECT_EQ(ids.sizes(), at::IntArrayRef({2, 16 * GetParam().config.quantizer.groups}));
  EXPECT_TRUE(tokenizer_->decode_ids(ids).allclose(tokenized.reconstruction, 0, 1e-4));
}

TEST_P(TokenizerContract, LossesAndReconstructionTrainEveryParameter) {
  const auto tokenized = tokenizer_->forward(image_);
  const auto pixels = (tokenized.reconstruction - image_).abs().mean();
  (pixels + tokenized.quantized.losses.total()).backward();
  for (const auto& item : tokenizer_->named_parameters()) {
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
}

TEST_P(TokenizerContract, KeepsChannelsLastAndGivesTheSameNumbersInBothFormats) {
  const auto plain = tokenizer_->forward(image_);
  const auto last = tokenizer_->forward(image_.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(plain.reconstruction.is_contiguous());
  EXPECT_TRUE(last.reconstruction.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(plain.z.allclose(last.z, 0, 1e-4));
}

TEST_P(TokenizerContract, ConstantsAreStoredTensors) {
  const auto names = state_names(*tokenizer_);
  for (const std::string& name : tokenizer_->constants()) EXPECT_TRUE(names.contains(name)) << name;
}

TEST(LfqTokenizer, RefusesALatentOfOneToken) {
  const auto tokenizer = make_tokenizer(families()[2].config);
  EXPECT_EQ(
      message_of([&] {
        tokenizer->forward(at::rand({1, 3, 2, 2}));
      }),
      "tokenizer: a latent of 1 x 1 has no variance, which the decoder of lfq and glfq scales "
      "by; use images of at least 4 pixels");
}

TEST(DepthToSpace, SpreadsChannelsInDepthColumnRowOrder) {
  DepthToSpace upsample(2);
  const at::NoGradGuard no_grad;
  upsample->conv1->weight.zero_();
  upsample->conv1->bias.copy_(at::arange(8));
  const auto y = upsample(at::rand({1, 2, 3, 3}));
  ASSERT_EQ(y.sizes(), at::IntArrayRef({1, 2, 6, 6}));
  for (const int64_t a : {0, 1}) {
    for (const int64_t b : {0, 1}) {
      for (const int64_t j : {0, 1}) {
        const auto part = y[0][j].slice(0, a, 6, 2).slice(1, b, 6, 2);  // pixels (2 y + a, 2 x + b)
        EXPECT_TRUE(part.eq((a * 2 + b) * 2 + j).all().item<bool>()) << a << b << j;
      }
    }
  }
}

TEST(AdaptiveGroupNorm, ScalesByTheUnbiasedDeviationAndShiftsByTheMeanOfTheCode) {
  torch::manual_seed(2);
  AdaptiveGroupNorm norm(3, 32);
  const auto x = at::randn({1, 32, 2, 2});
  const auto z_q = at::randn({1, 3, 2, 2});
  const auto rows = z_q.flatten(2)[0];                                    // [D, N]
  const auto variance = (rows - rows.mean(1, true)).square().sum(1) / 3;  // N - 1
  const auto scale = norm->gamma((variance + 1e-6).sqrt()).view({1, 32, 1, 1});
  const auto shift = norm->beta(rows.mean(1)).view({1, 32, 1, 1});
  // 32 groups of one channel: each is normalised by itself.
  const auto centred = x - x.mean({2, 3}, true);
  const auto normalised = centred / (centred.square().mean({2, 3}, true) + 1e-6).sqrt();
  EXPECT_TRUE(norm(x, z_q).allclose(normalised * scale + shift, 1e-4, 1e-5));
}

}  // namespace
}  // namespace gear::models
