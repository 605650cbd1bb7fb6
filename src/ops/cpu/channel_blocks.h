#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>

#include "gear/core/tensor.h"

// B images, C channels, N pixels
// How work on a map [B, C, H, W] is divided among threads: into blocks, all channels of some pixels
// of one image. Their size depends on C alone and sums are added in the order of the blocks, so
// results are the same for any number of threads.

namespace gear::ops::cpu {

enum class Layout { kChannelsFirst, kChannelsLast };

/// Channels-first a row is a channel and its elements are pixels, channels-last the other way
/// round.
struct ChannelBlock {
  int64_t image = 0;
  int64_t index = 0;   ///< of the block in its image
  int64_t offset = 0;  ///< of its first element in the map
  int64_t rows = 0;
  int64_t width = 0;
  int64_t stride = 0;  ///< elements from row to row
};

template <Layout layout>
class ChannelBlocks {
 public:
  explicit ChannelBlocks(const Tensor& map)
      : images_(map.size(0)),
        channels_(map.size(1)),
        pixels_(map.size(2) * map.size(3)),
        block_pixels_(std::clamp<int64_t>(kBlockElements / channels_, 1, pixels_)),
        per_image_((pixels_ + block_pixels_ - 1) / block_pixels_) {}

  template <class Body>
  void for_each(const Body& body) const {
    at::parallel_for(0, images_ * per_image_, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(block(i / per_image_, i % per_image_));
    });
  }

  /// Two sums by channel, [2, B, C] float64. add(block, first[C], second[C]) adds those of a block.
  template <class Add>
  Tensor sums(const Add& add) const {
    const auto parts = at::zeros({2, images_, per_image_, channels_}, at::kDouble);
    double* first = parts.mutable_data_ptr<double>();
    double* second = first + images_ * per_image_ * channels_;
    for_each([&](const ChannelBlock& block) {
      const int64_t part = (block.image * per_image_ + block.index) * channels_;
      add(block, first + part, second + part);
    });
    return in_order(parts);
  }

 private:
  static constexpr int64_t kBlockElements = 65536;  // float32: fits the second level cache

  ChannelBlock block(int64_t image, int64_t index) const {
    const int64_t first = index * block_pixels_;
    const int64_t count = std::min(block_pixels_, pixels_ - first);
    const int64_t start = image * channels_ * pixels_;
    if constexpr (layout == Layout::kChannelsLast) {
      return {image, index, start + first * channels_, count, channels_, channels_};
    }
    return {image, index, start + first, channels_, count, pixels_};
  }

  /// Sum over the blocks of each image, one after the other: [2, B, blocks, C] -> [2, B, C].
  Tensor in_order(const Tensor& parts) const {
    auto sums = at::zeros({2, images_, channels_}, at::kDouble);
    const double* part = parts.const_data_ptr<double>();
    double* sum = sums.mutable_data_ptr<double>();
    for (int64_t row = 0; row < 2 * images_; ++row, sum += channels_) {
      for (int64_t k = 0; k < per_image_; ++k, part += channels_) {
        for (int64_t c = 0; c < channels_; ++c) sum[c] += part[c];
      }
    }
    return sums;
  }

  int64_t images_, channels_, pixels_;
  int64_t block_pixels_;
  int64_t per_image_;  // blocks
};

}  // namespace gear::ops::cpu
