#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>

#include <array>

#include "gear/config/config.h"
#include "gear/core/tensor.h"

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
    v("ndf", ndf, "Width of the first convolution; group norm needs a multiple of 32 or less.",
      config::at_least(1));
    v("layers", layers, "Convolutions with a normalisation after them.", config::at_least(1));
    v("norm", norm, "Normalisation of the hidden layers.");
  }
};

/// Fully convolutional discriminator of arXiv:1611.07004: one logit per overlapping image patch
/// (70 x 70 pixels with three layers). It runs in float32 whatever autocast says. In train mode
/// batch norm uses the statistics of the batch at hand, also while the parameters are frozen, so
/// real and generated images go through separate calls.
struct PatchGanImpl : torch::nn::Module {
  explicit PatchGanImpl(const PatchGanConfig& config);
  Tensor forward(const Tensor& images);  // [B, 3, S, S] in [-1, 1] -> logits [B, 1, s, s]

  torch::nn::Sequential main;
};
TORCH_MODULE(PatchGan);

}  // namespace gear::models

template <>
struct gear::config::EnumNames<gear::models::CriticNorm> {
  static constexpr std::array<const char*, 2> value = {"batch", "group"};
};
