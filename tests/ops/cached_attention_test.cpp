#include "gear/ops/cached_attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <optional>

// R rows, H heads, H_kv key/value heads, d head width, S capacity, n positions

namespace gear::ops {
namespace {

constexpr int64_t kRows = 3, kHeads = 4, kKvHeads = 2, kPositions = 21, kCapacity = 24;
// Below the 16 channels of the kernels, some of them over, four groups at once and some over.
constexpr std::array<int64_t, 4> kWidths = {12, 40, 64, 72};

/// A whole sequence of projections, decoded position by position.
struct Sequence {
  int64_t width;
  Tensor qkv;      // [n, R, (H + 2 H_kv) d]
  Tensor rotary;   // [n, d / 2, 2]
  Tensor visible;  // [R, S] or undefined

  static Sequence make(int64_t width = 24) {
    at::manual_seed(4);
    const auto angles = 3 * at::randn({kPositions, width / 2});
    return {width,
            at::randn({kPositions, kRows, (kHeads + 2 * kKvHeads) * width}),
            at::stack({angles.cos(), angles.sin()}, -1),
            {}};
  }

  Tensor decoded(at::ScalarType cache_type, int64_t rows = kRows) const {
    const auto options = at::TensorOptions().dtype(cache_type);
    // What has not been written yet must not count, whatever it is.
    const auto memory = at::full({rows, kKvHeads, kCapacity, width},
                                 std::numeric_limits<float>::quiet_NaN(), options);
    const CachedKeys cache = {.keys = memory,
                              .values = memory.clone(),
                              .rotary = rotary,
                              .visible = visible.defined() ? visible.narrow(0, 0, rows) : visible};
    auto out = at::empty({kPositions, rows, kHeads * width});
    for (int64_t i = 0; i < kPositions; ++i) {
      cached_attention(qkv[i].narrow(0, 0, rows), at::scalar_tensor(i, at::kLong), cache, out[i]);
    }
    return out;
  }

  /// All positions at once, [n, R, H d].
  Tensor truth() const {
    const auto heads =
        qkv.unflatten(-1, {-1, width}).transpose(0, 1).to(at::kDouble);  // [R, n, H + 2 H_kv, d]
    const auto turned = rotated(heads.narrow(2, 0, kHeads + kKvHeads));
    const auto mask = visible_mask();
    return at::scaled_dot_product_attention(
               turned.narrow(2, 0, kHeads).transpose(1, 2),
               turned.narrow(2, kHeads, kKvHeads).transpose(1, 2),
               heads.narrow(2, kHeads + kKvHeads, kKvHeads).transpose(1, 2), mask,
               /*dropout_p=*/0.0,
               /*is_causal=*/!mask, /*scale=*/std::nullopt, /*enable_gqa=*/true)
        .permute({2, 0, 1, 3})
        .flatten(2);
  }

 private:
  Tensor rotated(const Tensor& heads) const {
    const auto pairs = at::view_as_complex(heads.unflatten(-1, {-1, 2}).contiguous());
    const auto turns = at::view_as_complex(rotary.to(at::kDouble).contiguous()).unsqueeze(1);
    return at::view_as_real(pairs * turns).flatten(-2);
  }

  std::optional<Tensor> visible_mask() const {
    if (!visible.defined()) return std::nullopt;
    const auto causal = at::ones({kPositions, kPositions}, at::kBool).tril();
    return causal.logical_and(visible.narrow(1, 0, kPositions).view({kRows, 1, 1, kPositions}));
  }
};

double largest_difference(const Tensor& a, const Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

TEST(CachedAttention, EqualsAttentionOverTheWholeSequenceAtEveryPosition) {
  for (const int64_t width : kWidths) {
    const auto sequence = Sequence::make(width);
    const auto found = sequence.decoded(at::kFloat), expected = sequence.truth();
    for (int64_t i = 0; i < kPositions; ++i) {
      EXPECT_LE(largest_difference(found[i], expected[i]), 5e-6) << width << " " << i;
    }
  }
}

TEST(CachedAttention, Bfloat16CacheStaysWithinItsRounding) {
  for (const int64_t width : kWidths) {
    const auto sequence = Sequence::make(width);
    // Keys and values of up to 4 lose half of the last of 8 bits: 2^-7 each, and scores of several
    // units turn that into some times as much.
    const double error = largest_difference(sequence.decoded(at::kBFloat16), sequence.truth());
    EXPECT_LE(error, 0.1) << width;
    EXPECT_GT(error, 1e-4) << width;
  }
}

TEST(CachedAttention, HiddenPositionsDoNotCount) {
  auto sequence = Sequence::make();
  sequence.visible = at::ones({kRows, kCapacity}, at::kBool);
  sequence.visible[1].narrow(0, 1, 5).fill_(false);
  sequence.visible[2].narrow(0, 3, 1).fill_(false);
  EXPECT_LE(largest_difference(sequence.decoded(at::kFloat), sequence.truth()), 3e-6);
}

TEST(CachedAttention, ARowHasTheSameBitsAloneAndAmongOthersAndOnAnyThreads) {
  const int threads = at::get_num_threads();
  const auto sequence = Sequence::make(72);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    at::set_num_threads(1);
    const auto together = sequence.decoded(type);
    at::set_num_threads(3);
    EXPECT_TRUE(sequence.decoded(type).equal(together));
    EXPECT_TRUE(sequence.decoded(type, 1).equal(together.narrow(1, 0, 1)));
  }
  at::set_num_threads(threads);
}

TEST(CachedAttention, PrefixRowsOfZerosGiveTheMeanOfTheValues) {
  auto sequence = Sequence::make();
  sequence.rotary.zero_();  // queries and keys become zero vectors
  const auto value =
      sequence.qkv.narrow(2, (kHeads + kKvHeads) * sequence.width, sequence.width);  // of head 0
  const auto found = sequence.decoded(at::kFloat)[4].narrow(1, 0, sequence.width);
  EXPECT_LE(largest_difference(found, value.narrow(0, 0, 5).mean(0)), 1e-6);
}

TEST(CachedAttention, WhatDoesNotFitIsRefused) {
  const auto sequence = Sequence::make();
  const auto memory = at::zeros({kRows, kKvHeads, kCapacity, sequence.width});
  const CachedKeys cache = {memory, memory.clone(), sequence.rotary, {}};
  auto out = at::empty({kRows, kHeads * sequence.width});
  const auto at_position = [](int64_t i) { return at::scalar_tensor(i, at::kLong); };
  const auto qkv = sequence.qkv[0];
  EXPECT_THROW(cached_attention(qkv, at_position(kPositions), cache, out), c10::Error);
  EXPECT_THROW(cached_attention(qkv, at_position(-1), cache, out), c10::Error);
  EXPECT_THROW(cached_attention(qkv.narrow(0, 0, 2), at_position(0), cache, out), c10::Error);
  EXPECT_THROW(cached_attention(qkv, at_position(0), cache, at::empty({kRows, 5 * sequence.width})),
               c10::Error);
  EXPECT_THROW(
      cached_attention(qkv, at_position(0),
                       {memory.to(at::kDouble), memory.to(at::kDouble), sequence.rotary, {}}, out),
      c10::Error);
}

}  // namespace
}  // namespace gear::ops
