#include "gear/sample/filter.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gear::sample {
namespace {

/// Kept codes of a single row, as 0 and 1.
std::vector<int> kept(const std::vector<float>& logits, const FilterOptions& options) {
  const auto filtered = filter_logits(at::tensor(logits).unsqueeze(0), options);
  std::vector<int> flags;
  for (size_t i = 0; i < logits.size(); ++i) {
    flags.push_back(std::isfinite(filtered[0][static_cast<int64_t>(i)].item<float>()) ? 1 : 0);
  }
  return flags;
}

using Flags = std::vector<int>;

TEST(Filter, DefaultsKeepTheLogits) {
  const auto logits = at::randn({3, 7});
  EXPECT_TRUE(filter_logits(logits, {}).equal(logits));
}

TEST(Filter, TemperatureDividesAndZeroIsClamped) {
  const auto logits = at::randn({3, 7});
  EXPECT_TRUE(filter_logits(logits, {.temperature = 2.0}).equal(logits / 2.0));
  EXPECT_TRUE(filter_logits(logits, {.temperature = 0.0}).equal(logits / 1e-5));
}

TEST(Filter, TopKKeepsTies) {
  EXPECT_EQ(kept({1, 3, 2, 2, 0}, {.top_k = 2}), (Flags{0, 1, 1, 1, 0}));
  EXPECT_EQ(kept({3, 3, 1, 0, 2}, {.top_k = 1}), (Flags{1, 1, 0, 0, 0}));
}

TEST(Filter, TopKAboveTheVocabularyKeepsAll) {
  EXPECT_EQ(kept({1, 3, 2}, {.top_k = 100000}), (Flags{1, 1, 1}));
}

TEST(Filter, TopPKeepsTheFirstThatPassesTheMass) {
  // Probabilities 0.5, 0.3, 0.2 after the logarithm.
  const std::vector<float> logits = {std::log(0.2F), std::log(0.5F), std::log(0.3F)};
  EXPECT_EQ(kept(logits, {.top_p = 0.4}), (Flags{0, 1, 0}));
  EXPECT_EQ(kept(logits, {.top_p = 0.6}), (Flags{0, 1, 1}));
  EXPECT_EQ(kept(logits, {.top_p = 0.9}), (Flags{1, 1, 1}));
}

TEST(Filter, TopPKeepsAtLeastOne) {
  const auto flags = kept({1, 1, 1, 1}, {.top_p = 0.0});  // which of equal codes is left open
  EXPECT_EQ(std::count(flags.begin(), flags.end(), 1), 1);
}

TEST(Filter, TopPSeesOnlyWhatTopKLeft) {
  // Of all four, 0.4 + 0.3 = 0.7 does not pass 0.75; of the two left, 0.57 does not and 1.0 does.
  const std::vector<float> logits = {std::log(0.4F), std::log(0.3F), std::log(0.2F),
                                     std::log(0.1F)};
  EXPECT_EQ(kept(logits, {.top_p = 0.75}), (Flags{1, 1, 1, 0}));
  EXPECT_EQ(kept(logits, {.top_k = 2, .top_p = 0.75}), (Flags{1, 1, 0, 0}));
  EXPECT_EQ(kept(logits, {.top_k = 2, .top_p = 0.5}), (Flags{1, 0, 0, 0}));
}

TEST(Filter, OneCodeIsAlwaysKept) {
  EXPECT_EQ(kept({-5}, {.temperature = 0.5, .top_k = 3, .top_p = 0.1}), (Flags{1}));
}

}  // namespace
}  // namespace gear::sample
