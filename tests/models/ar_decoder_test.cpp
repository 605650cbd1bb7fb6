#include "gear/models/ar/ar_decoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <vector>

#include "gear/ops/few_row_linear.h"
#include "models/error_message.h"
#include "models/text_network.h"

// R rows, L tokens per image, K codes

namespace gear::models {
namespace {

using ops::WeightFormat;

ArConfig class_config() {
  ArConfig config;
  config.dim = 48;
  config.depth = 3;
  config.heads = 4;
  config.ffn_multiple_of = 20;  // an MLP that does not fill the panels of the kernels
  config.vocab_size = 37;
  config.num_tokens = 16;
  config.num_classes = 5;
  return config;
}

/// As after some training: the output head is not zero, the norms are not one.
ArModel trained_like(const ArConfig& config) { return text_network(config); }

Tensor some_labels() { return at::tensor({3, 0, 4}, at::kLong); }

using Prefill = std::function<Tensor(Decoding&)>;

/// Logits [R, L, K] of every step, fed with ids [R, L - 1].
Tensor logits_of(const ArDecoder& decoder, const Prefill& prefill, const Tensor& ids) {
  const auto decoding = decoder.start(ids.size(0));
  std::vector<Tensor> steps = {prefill(*decoding).clone()};
  for (int64_t i = 0; i < ids.size(1); ++i) {
    steps.push_back(decoding->step(ids.select(1, i)).clone());
  }
  return at::stack(steps, 1);
}

Tensor class_logits(const ArDecoder& decoder, const Tensor& ids) {
  return logits_of(
      decoder, [](Decoding& decoding) { return decoding.prefill(some_labels()); }, ids);
}

/// Replaces what decoding stores by what a format keeps of it.
void round_weights(ArModel& model, WeightFormat format) {
  const at::NoGradGuard no_grad;
  const auto round = [&](torch::nn::Linear& layer) {
    layer->weight.copy_(ops::rounded_weight(layer->weight, format));
  };
  for (int64_t i = 0; i < model->config().depth; ++i) {
    auto& block = *model->layers->ptr<ArBlockImpl>(static_cast<size_t>(i));
    round(block.attention->wqkv);
    round(block.attention->wo);
    round(block.feed_forward->w1);
    round(block.feed_forward->w3);
    round(block.feed_forward->w2);
  }
  round(model->output);
}

/// Largest error at every step relative to the largest logit of all.
void expect_close(const Tensor& found, const Tensor& expected, double bound) {
  const double scale = expected.abs().max().item<double>();
  for (int64_t step = 0; step < expected.size(1); ++step) {
    const auto error = (found.select(1, step) - expected.select(1, step)).abs().max();
    EXPECT_LE(error.item<double>(), bound * scale) << "step " << step;
  }
}

TEST(ArDecoder, EqualsTheParallelPassAndThePlainFormAtEveryPosition) {
  const at::NoGradGuard no_grad;
  for (const int64_t kv_heads : {0, 2}) {
    auto config = class_config();
    config.kv_heads = kv_heads;
    auto model = trained_like(config);
    const auto ids = some_ids(config, 3);
    const auto expected = model->forward(some_labels(), model->embed_ids(ids)).logits;
    expect_close(class_logits(model, ids), expected, 3e-6);
    expect_close(class_logits(ArDecoder::plain(model), ids), expected, 3e-6);
  }
}

TEST(ArDecoder, EqualsTheParallelPassOnCaptions) {
  const at::NoGradGuard no_grad;
  for (const auto attention : {TextAttention::kCausal, TextAttention::kPrefix}) {
    auto model = text_network(text_config(attention));
    auto text = some_text(model->config());
    const auto ids = some_ids(model->config(), 3);
    for (const bool with_padding : {true, false}) {
      if (!with_padding) text.valid = Tensor();
      const auto expected = model->forward(text, model->embed_ids(ids)).logits;
      const Prefill prefill = [&](Decoding& decoding) { return decoding.prefill(text); };
      expect_close(logits_of(model, prefill, ids), expected, 3e-6);
      expect_close(logits_of(ArDecoder::plain(model), prefill, ids), expected, 3e-6);
    }
  }
}

TEST(ArDecoder, RoundedFormatsComputeWithTheRoundedWeights) {
  const at::NoGradGuard no_grad;
  for (const auto format : {WeightFormat::kBfloat16, WeightFormat::kInt8}) {
    auto model = trained_like(class_config());
    const auto ids = some_ids(model->config(), 3);
    const auto found = class_logits({model, format}, ids);
    const auto exact = class_logits(model, ids);
    round_weights(model, format);
    // What differs is the cache in bfloat16: keys and values lose half of the last of 8 bits.
    expect_close(found, class_logits(ArDecoder::plain(model), ids), 0.02);
    // And with the weights themselves, 8 bits each of them.
    expect_close(found, exact, format == WeightFormat::kInt8 ? 0.1 : 0.05);
  }
}

TEST(ArDecoder, BothRowsOfAGuidedPairAreThoseOfEachAlone) {
  const at::NoGradGuard no_grad;
  auto model = trained_like(class_config());
  const auto ids = some_ids(model->config(), 2);
  const auto labels = at::tensor({3, 1}, at::kLong);
  const auto null = at::full_like(labels, model->null_class());
  const auto alone = [&](const Tensor& of) {
    return logits_of(
        model, [&](Decoding& decoding) { return decoding.prefill(of); }, ids);
  };
  const Prefill both = [&](Decoding& decoding) {
    return decoding.prefill(at::cat({labels, null}));
  };
  const auto pair = logits_of(model, both, at::cat({ids, ids}));
  EXPECT_TRUE(pair.equal(at::cat({alone(labels), alone(null)})));  // bit for bit
}

TEST(ArDecoder, FirstRowsGoOnAlone) {
  const at::NoGradGuard no_grad;
  for (const auto format : {WeightFormat::kFloat32, WeightFormat::kInt8}) {
    const ArDecoder decoder(trained_like(class_config()), format);
    const auto ids = some_ids(decoder.model()->config(), 3);
    const auto expected = class_logits(decoder, ids);
    const auto decoding = decoder.start(3);
    decoding->prefill(some_labels());
    for (int64_t i = 0; i < ids.size(1); ++i) {
      if (i == 4) decoding->keep_first(2);
      const auto fed = ids.select(1, i).narrow(0, 0, decoding->rows());
      const auto found = decoding->step(fed);
      EXPECT_TRUE(found.equal(expected.select(1, i + 1).narrow(0, 0, decoding->rows()))) << i;
    }
  }
}

TEST(ArDecoder, CaptionsCanDropRowsToo) {
  const at::NoGradGuard no_grad;
  auto model = text_network(text_config(TextAttention::kPrefix));
  const auto text = some_text(model->config());
  const auto ids = some_ids(model->config(), 3);
  const auto expected = logits_of(
      model, [&](Decoding& decoding) { return decoding.prefill(text); }, ids);
  const auto decoding = ArDecoder(model).start(3);
  decoding->prefill(text);
  decoding->keep_first(2);
  const auto found = decoding->step(ids.select(1, 0).narrow(0, 0, 2));
  EXPECT_TRUE(found.equal(expected.select(1, 1).narrow(0, 0, 2)));
}

TEST(ArDecoder, CountsTheBytesOfAStep) {
  ArConfig config = class_config();
  const int64_t weights =
      config.depth * (4 * config.dim * config.dim + 3 * config.dim * config.ffn_dim()) +
      config.vocab_size * config.dim;
  const int64_t outputs =
      config.depth * (5 * config.dim + 2 * config.ffn_dim()) + config.vocab_size;
  const int64_t norms = 4 * (2 * config.depth + 1) * config.dim;
  const auto model = trained_like(config);
  EXPECT_EQ(ArDecoder(model).step_bytes(), 4 * weights + norms);
  EXPECT_EQ(ArDecoder(model, WeightFormat::kBfloat16).step_bytes(), 2 * weights + norms);
  EXPECT_EQ(ArDecoder(model, WeightFormat::kInt8).step_bytes(), weights + 4 * outputs + norms);
}

TEST(ArDecoder, StepsOutOfOrderAndTooManyAreRefused) {
  const at::NoGradGuard no_grad;
  const ArDecoder decoder(trained_like(class_config()));
  const auto decoding = decoder.start(3);
  EXPECT_THROW(decoding->step(some_labels()), c10::Error);
  decoding->prefill(some_labels());
  EXPECT_THROW(decoding->prefill(some_labels()), c10::Error);
  for (int64_t i = 0; i < 16; ++i) decoding->step(some_labels());
  EXPECT_THROW(decoding->step(some_labels()), c10::Error);
}

TEST(ArDecoder, Int8NamesTheWeightThatIsNotFinite) {
  auto model = trained_like(class_config());
  {
    const at::NoGradGuard no_grad;
    model->layers->ptr<ArBlockImpl>(1)->feed_forward->w3->weight[2][3] =
        std::numeric_limits<float>::quiet_NaN();
  }
  EXPECT_THAT(
      message_of([&] { ArDecoder(model, WeightFormat::kInt8); }),
      testing::StartsWith("layers.1.feed_forward.w3.weight: int8 weights: a weight is not"));
}

}  // namespace
}  // namespace gear::models
