#include "gear/core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace gear {
namespace {

TEST(StreamSeed, DependsOnEveryPartAndOnNothingElse) {
  const std::set<uint64_t> seeds = {
      stream_seed(0, "crop", 0, 0), stream_seed(1, "crop", 0, 0), stream_seed(0, "flip", 0, 0),
      stream_seed(0, "crop", 1, 0), stream_seed(0, "crop", 0, 1),
  };
  EXPECT_EQ(seeds.size(), 5U);
  EXPECT_EQ(stream_seed(7, "crop", 3, 5), stream_seed(7, "crop", 3, 5));
}

TEST(RandomStream, StartsWithTheKnownValuesOfSplitMix64) {
  RandomStream stream(1234567);
  EXPECT_EQ(stream.next(), 6457827717110365317ULL);
  EXPECT_EQ(stream.next(), 3203168211198807973ULL);
}

TEST(RandomStream, IntegersCoverTheRangeWithBothEnds) {
  RandomStream stream(5);
  std::set<int64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(stream.integer(-2, 2));
  EXPECT_EQ(seen, (std::set<int64_t>{-2, -1, 0, 1, 2}));
}

TEST(RandomStream, BernoulliHitsItsProbability) {
  RandomStream stream(11);
  int hits = 0;
  for (int i = 0; i < 20000; ++i) hits += stream.bernoulli(0.1);
  EXPECT_NEAR(hits / 20000.0, 0.1, 0.01);  // five standard deviations
}

TEST(Permutation, HoldsEveryNumberOnceAndChangesWithTheSeed) {
  auto order = permutation(100, 3);
  EXPECT_NE(order, permutation(100, 4));
  EXPECT_EQ(order, permutation(100, 3));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

}  // namespace
}  // namespace gear
