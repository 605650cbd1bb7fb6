#include <gtest/gtest.h>

#include "error_message.h"
#include "gear/models/tokenizers/tokenizer.h"

// Rules between the fields of tokenizer and quantizer.

namespace gear::models {
namespace {

std::string refusal(const QuantizerConfig& quantizer) {
  const config::Node root;
  return message_of([&] { quantizer.check(config::Where(&root, "quantizer.")); });
}

std::string refusal(const TokenizerConfig& tokenizer) {
  const config::Node root;
  return message_of([&] { tokenizer.check(config::Where(&root, "tokenizer.")); });
}

TEST(QuantizerConfig, OfLfqHasOneBitPerChannel) {
  QuantizerConfig config{.kind = QuantizerKind::kLfq};
  EXPECT_EQ(refusal(config),
            "quantizer.codebook_dim (default): must be log2 of codebook_size (14) for lfq, got 8");
  config.codebook_size = 1000;
  EXPECT_EQ(refusal(config),
            "quantizer.codebook_size (default): must be a power of two for lfq, got 1000");
}

TEST(QuantizerConfig, OfGlfqHasGroupsOfEquallyManyBits) {
  QuantizerConfig config{.kind = QuantizerKind::kGlfq,
                         .codebook_size = int64_t{1} << 32,
                         .codebook_dim = 32,
                         .groups = 5};
  EXPECT_EQ(refusal(config), "quantizer.groups (default): must divide codebook_dim (32), got 5");
  config.groups = 1;
  EXPECT_EQ(refusal(config),
            "quantizer.groups (default): leaves 32 bits to a group; at most 24 fit a table of "
            "codes, so use more groups, got 1");
  config.groups = 4;
  EXPECT_EQ(refusal(config), "no error");
}

TEST(QuantizerConfig, OfFsqHasAsManyCodesAsItsLevelsGive) {
  QuantizerConfig config{.kind = QuantizerKind::kFsq};
  EXPECT_EQ(refusal(config),
            "quantizer.levels (default): must list the number of values of each channel for fsq, "
            "for example [8, 8, 8, 6, 5]");
  config.levels = {8, 8, 8, 6, 5};
  EXPECT_EQ(refusal(config),
            "quantizer.codebook_dim (default): must be the number of levels (5) for fsq, got 8");
  config.codebook_dim = 5;
  EXPECT_EQ(refusal(config),
            "quantizer.codebook_size (default): must be the product of levels (15360) for fsq, got "
            "16384");
  config.levels = {256, 256, 256, 256, 256};
  EXPECT_EQ(refusal(config), "quantizer.levels (default): must give at most 16777216 codes");
}

TEST(QuantizerConfig, KeysOfOneFamilyAreRefusedByTheOthers) {
  EXPECT_EQ(refusal(QuantizerConfig{.groups = 4}),
            "quantizer.groups (default): must be 1 for vq (only glfq has groups), got 4");
  EXPECT_EQ(refusal(QuantizerConfig{.levels = {8, 5}}),
            "quantizer.levels (default): must be empty for vq (only fsq has levels), got [8, 5]");
  EXPECT_EQ(refusal(QuantizerConfig{.cosine = true}),
            "quantizer.cosine (default): must be false for vq (only ibq has the choice)");
  EXPECT_EQ(refusal(QuantizerConfig{.codebook_size = int64_t{1} << 32}),
            "quantizer.codebook_size (default): must be at most 16777216 for vq, got 4294967296");
}

TEST(TokenizerConfig, OnlyLookUpFreeFamiliesCanHalveTheSizeLessOften) {
  TokenizerConfig config;
  config.downsample = 8;
  EXPECT_EQ(refusal(config),
            "tokenizer.downsample (default): must be 0 or 16: only lfq and glfq can do with less, "
            "got 8");
  config.downsample = 12;
  EXPECT_EQ(refusal(config),
            "tokenizer.downsample (default): must be 0 or a power of two up to 16 (2 to the number "
            "of ch_mult levels but one), got 12");
}

TEST(TokenizerConfig, LookUpFreeFamiliesHaveNoDropout) {
  TokenizerConfig config;
  config.quantizer.kind = QuantizerKind::kLfq;
  config.dropout = 0.1;
  EXPECT_EQ(refusal(config),
            "tokenizer.dropout (default): must be 0: the network of lfq and glfq has no dropout, "
            "got 0.1");
}

TEST(TokenizerConfig, AttentionStandsAtLevelsThatExist) {
  TokenizerConfig config;
  config.attention_levels = {5};
  EXPECT_EQ(
      refusal(config),
      "tokenizer.attention_levels (default): must be levels of ch_mult (0 to 4) or -1, got 5");
}

}  // namespace
}  // namespace gear::models
