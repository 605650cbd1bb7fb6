#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "small_recipe.h"

namespace gear::train {
namespace {

using testing::small_recipe_config;

constexpr int64_t kSamples = 20000;

ArLearner learner_with(double class_dropout) {
  RunConfig config = small_recipe_config();
  config.ar.class_dropout = class_dropout;
  return ArLearner(testing::small_ar_networks(config, 8), config);
}

/// Samples first..first+count-1, all of class 1.
data::Batch samples(int64_t first, int64_t count) {
  data::Batch batch{.images = {}, .labels = at::full({count}, 1, at::kLong), .sample_ids = {}};
  batch.sample_ids.resize(static_cast<size_t>(count));
  std::iota(batch.sample_ids.begin(), batch.sample_ids.end(), first);
  return batch;
}

TEST(ClassDropout, DropsTheConfiguredShareToTheNullClass) {
  const auto dropped = learner_with(0.1).drop_labels(samples(0, kSamples), {.step = 3});
  const int64_t null_class = small_recipe_config().data.num_classes;
  const auto null_labels = (dropped == null_class).sum().item<int64_t>();
  const auto kept_labels = (dropped == 1).sum().item<int64_t>();
  EXPECT_EQ(null_labels + kept_labels, kSamples);
  const double standard_error = std::sqrt(0.1 * 0.9 / kSamples);
  EXPECT_NEAR(static_cast<double>(null_labels) / kSamples, 0.1, 4 * standard_error);
}

TEST(ClassDropout, OfProbabilityZeroLeavesEveryLabel) {
  const auto batch = samples(0, kSamples);
  EXPECT_TRUE(at::equal(learner_with(0.0).drop_labels(batch, {.step = 3}), batch.labels));
}

TEST(ClassDropout, DependsOnTheSampleNotOnItsPlace) {
  const ArLearner learner = learner_with(0.1);
  const auto whole = learner.drop_labels(samples(0, 1000), {.step = 3});
  const auto part = learner.drop_labels(samples(600, 150), {.step = 3});
  EXPECT_TRUE(at::equal(part, whole.slice(0, 600, 750)));

  auto reversed = samples(0, 1000);
  std::reverse(reversed.sample_ids.begin(), reversed.sample_ids.end());
  EXPECT_TRUE(at::equal(learner.drop_labels(reversed, {.step = 3}), whole.flip({0})));
}

TEST(ClassDropout, DrawsAnewInEveryStep) {
  const ArLearner learner = learner_with(0.1);
  const auto batch = samples(0, 1000);
  const auto dropped = learner.drop_labels(batch, {.step = 3});
  EXPECT_TRUE(at::equal(learner.drop_labels(batch, {.step = 3}), dropped));
  EXPECT_FALSE(at::equal(learner.drop_labels(batch, {.step = 4}), dropped));
}

TEST(ClassDropout, RefusesABatchThatDoesNotNameItsSamples) {
  auto batch = samples(0, 4);
  batch.sample_ids.pop_back();
  EXPECT_THROW(learner_with(0.1).drop_labels(batch, {.step = 0}), c10::Error);
}

}  // namespace
}  // namespace gear::train
