#include "gear/models/ar/text_condition.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "gear/models/ar/kv_cache.h"

// B batch, T caption positions, n image tokens given

namespace gear::models {
namespace {

/// A row of text for each row of a mask [S, S]: x attends, . does not.
std::string picture(const Tensor& mask) {
  std::string text;
  for (int64_t row = 0; row < mask.size(0); ++row) {
    for (int64_t column = 0; column < mask.size(1); ++column) {
      text += mask[row][column].item<bool>() ? 'x' : '.';
    }
    text += '\n';
  }
  return text;
}

Tensor captions() {  // of 3 positions: full, two, none
  return at::tensor({1, 1, 1, 1, 1, 0, 0, 0, 0}, at::kLong).view({3, 3});
}

TEST(TextAttentionMask, CausalTextSeesWhatStandsBeforeIt) {
  const auto mask = text_attention_mask(captions(), 2, TextAttention::kCausal);
  EXPECT_EQ(mask.sizes(), (std::vector<int64_t>{3, 1, 5, 5}));
  EXPECT_EQ(mask.scalar_type(), at::kBool);
  EXPECT_EQ(picture(mask[0][0]),
            "x....\n"
            "xx...\n"
            "xxx..\n"
            "xxxx.\n"
            "xxxxx\n");
  EXPECT_EQ(picture(mask[1][0]),
            "x....\n"
            "xx...\n"
            "xxx..\n"
            "xx.x.\n"
            "xx.xx\n");
  EXPECT_EQ(picture(mask[2][0]),
            "x....\n"
            ".x...\n"
            "..x..\n"
            "...x.\n"
            "...xx\n");
}

TEST(TextAttentionMask, PrefixTextSeesAllValidTextAndNoToken) {
  const auto mask = text_attention_mask(captions(), 2, TextAttention::kPrefix);
  EXPECT_EQ(picture(mask[0][0]),
            "xxx..\n"
            "xxx..\n"
            "xxx..\n"
            "xxxx.\n"
            "xxxxx\n");
  EXPECT_EQ(picture(mask[1][0]),
            "xx...\n"
            "xx...\n"
            "xxx..\n"
            "xx.x.\n"
            "xx.xx\n");
  EXPECT_EQ(picture(mask[2][0]),
            "x....\n"
            ".x...\n"
            "..x..\n"
            "...x.\n"
            "...xx\n");
}

TEST(TextAttentionMask, CacheHidesTheSameColumnsFromEachNextToken) {
  ArConfig config;
  config.depth = 1;
  config.num_tokens = 4;
  config.text.emplace().tokens = 3;
  KvCache cache(config, 3, at::kCPU);
  EXPECT_FALSE(cache.mask_of_next());
  cache.hide_padding(captions());
  const auto text = at::randn({3, config.num_kv_heads(), 3, config.head_dim()});
  cache.layer(0).append(text, text);
  for (int64_t token = 0; token < 3; ++token) {
    const auto row = text_attention_mask(captions(), token + 1, TextAttention::kPrefix)
                         .narrow(2, 3 + token, 1);  // of the last token
    EXPECT_TRUE(cache.mask_of_next()->equal(row)) << token;
    cache.layer(0).append(text.narrow(2, 0, 1), text.narrow(2, 0, 1));
  }
  cache.keep_first(2);
  EXPECT_EQ(cache.mask_of_next()->sizes(), (std::vector<int64_t>{2, 1, 1, 7}));
}

TEST(CaptionProjection, IsTheMlpWithTanhGelu) {
  torch::manual_seed(0);
  CaptionProjection projection(5, 4);
  const auto features = at::randn({2, 3, 5});
  const auto x = features.matmul(projection->fc1->weight.t());
  const auto inner = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x.pow(3));
  const auto expected = (0.5 * x * (1.0 + inner.tanh())).matmul(projection->fc2->weight.t());
  EXPECT_TRUE(projection(features).allclose(expected, 1e-5, 1e-6));
  EXPECT_EQ(projection->parameters().size(), 2);  // no bias
}

}  // namespace
}  // namespace gear::models
