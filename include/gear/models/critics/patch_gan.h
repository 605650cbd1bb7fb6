#pragma once

#include <torch/nn/modules/container/sequential.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "gear/config/config.h"
#include "gear/core/tensor.h"
#include "gear/nn/batch_norm.h"
#include "gear/nn/gate.h"

// B batch, S image side, s side of the grid of logits

namespace gear::models {

enum class CriticNorm { kBatch, kGroup };

/// Shape of the patch discriminator.
struct PatchGanConfig {
  int64_t ndf = 64;
  int64_t layers = 3;
  CriticNorm norm = CriticNorm::kBatch;

  template <class Visitor>
  void fields(Visitor& v) {
    v("ndf", ndf, "Width of the first convolution; group norm needs a multiple of 16.",
      config::in_range(1, 4096));
    v("layers", layers, "Convolutions with a normalisation after them.", config::in_range(1, 10));
    v("norm", norm, "Normalisation of the hidden layers.");
  }
  void check(const config::Where& at) const {
    constexpr int64_t kGroups = 32;  // of every layer that is wider; a narrower one has its width
    for (int64_t layer = 1; norm == CriticNorm::kGroup && layer <= layers; ++layer) {
      const int64_t width = ndf * std::min(int64_t{1} << layer, int64_t{8});
      if (width <= kGroups || width % kGroups == 0) continue;
      fail(at("ndf"), "gives a layer of width ", width, ", which group norm cannot divide into ",
           kGroups, " groups; use a multiple of 16, or discriminator.norm: batch, got ", ndf);
    }
  }

  /// Smallest side of an image that leaves a logit: with kernels of 4 and padding 1, the `layers`
  /// convolutions of stride 2 halve the side, rounding down, and the last two take a pixel each.
  int64_t min_image_size() const { return 3 * (int64_t{1} << layers); }
};

/// Fully convolutional discriminator of arXiv:1611.07004: one logit per overlapping image patch
/// (70 x 70 pixels with three layers). It runs in float32 whatever autocast says. In train mode
/// batch norm uses the statistics of the batch at hand, also while the parameters are frozen, so
/// real and generated images go through separate calls.
struct PatchGanImpl : nn::KeptModule {
  explicit PatchGanImpl(const PatchGanConfig& config);
  Tensor forward(const Tensor& images);  // [B, 3, S, S] in [-1, 1] -> logits [B, 1, s, s]

  /// Ranks over whose batches the batch statistics are taken.
  void set_world(const dist::World& world);
  /// Ends a step: the running statistics take in the batches since the last one, in an order that
  /// nn::BatchNorm2d::commit explains.
  void commit_statistics(const dist::World& ranks = {}, int64_t passes = 1);
  void discard_statistics();  ///< of a step that came to nothing

  torch::nn::Sequential main;

 private:
  std::vector<nn::BatchNorm2d> batch_norms();
};
TORCH_MODULE(PatchGan);

}  // namespace gear::models

template <>
struct gear::config::EnumNames<gear::models::CriticNorm> {
  static constexpr std::array<const char*, 2> value = {"batch", "group"};
};
