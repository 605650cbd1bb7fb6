#include "gear/sample/sampler.h"

#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "gear/core/error.h"

namespace gear::sample {
namespace {

std::shared_ptr<models::Tokenizer> small_tokenizer() {
  models::TokenizerConfig config;
  config.ch = 32;
  config.ch_mult = {1, 1};
  config.num_res_blocks = 1;
  config.z_channels = 32;
  config.quantizer.codebook_size = 24;
  config.quantizer.codebook_dim = 4;
  torch::manual_seed(1);
  return models::make_tokenizer(config);
}

models::ArModel small_transformer(int64_t codes) {
  models::ArConfig config;
  config.dim = 32;
  config.depth = 1;
  config.heads = 2;
  config.vocab_size = codes;
  config.num_tokens = 9;
  config.num_classes = 4;
  torch::manual_seed(2);
  return models::ArModel(config);
}

TEST(SampleImages, BatchSizeDoesNotChangeThePictures) {
  const auto tokenizer = small_tokenizer();
  const auto ar = small_transformer(24);
  const auto labels = at::tensor({0, 1, 2}, at::kLong);
  const SampleOptions options = {.seed = 4};
  std::vector<std::pair<int64_t, int64_t>> progress;
  const auto by_two =
      sample_images(*tokenizer, ar, labels, options, 2,
                    [&](int64_t done, int64_t total) { progress.emplace_back(done, total); });
  ASSERT_EQ(by_two.sizes(), (std::vector<int64_t>{3, 3, 6, 6}));
  EXPECT_EQ(by_two.scalar_type(), at::kByte);
  EXPECT_THAT(progress, testing::ElementsAre(std::pair(2, 3), std::pair(3, 3)));

  const auto tokens = generate_tokens(ar, labels, options);
  EXPECT_FALSE(tokens[0].equal(tokens[1]));
  // Convolutions of other batch sizes may round a pixel the other way.
  const auto all = sample_images(*tokenizer, ar, labels, options, 3);
  EXPECT_LE((by_two.to(at::kInt) - all.to(at::kInt)).abs().max().item<int>(), 1);
  EXPECT_TRUE(tokens_to_images(*tokenizer, tokens).equal(all));
  EXPECT_TRUE(tokenizer->is_training());
}

TEST(SampleImages, TransformerOfAnotherCodebookIsRefused) {
  const auto tokenizer = small_tokenizer();
  try {
    sample_images(*tokenizer, small_transformer(16), at::tensor({0}, at::kLong), {}, 1);
    FAIL() << "a transformer of 16 codes was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("knows 16 codes and the tokenizer 24"));
  }
}

}  // namespace
}  // namespace gear::sample
