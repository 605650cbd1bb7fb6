#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include "gear/core/tensor.h"
#include "gear/nn/convolution.h"
#include "gear/nn/gate.h"

// B batch, C channels, H W pixels, N = H * W
// Blocks of convolutional autoencoders. Every block keeps the memory format of its input:
// channels-last stays channels-last, without copies.

namespace gear::nn {

Convolution conv1x1(int64_t in, int64_t out, bool bias = true);
/// Normalisation in 32 groups, eps 1e-6; `channels` is a multiple of 32.
torch::nn::GroupNorm group_norm(int64_t channels);
/// norm(x) by ops::group_norm: the module holds the weight and the bias.
Tensor normalise(const torch::nn::GroupNorm& norm, const Tensor& x);
/// conv(swish(norm(x))), of which the backward pass keeps x alone. conv has stride 1.
Tensor conv_of_swish(Convolution& conv, const torch::nn::GroupNorm& norm, const Tensor& x);

/// What follows the blocks that work at one resolution.
enum class Resample { kNone, kDown, kUp };

struct ResBlockOptions {
  int64_t in = 0;
  int64_t out = 0;
  double dropout = 0.0;
  bool bias = true;          ///< of the convolutions
  bool norms_first = false;  ///< order of registration: norm1, norm2, conv1, conv2
  bool recompute = false;    ///< keep the input alone and run again in the backward pass
};

/// x + conv2(dropout(swish(norm2(conv1(swish(norm1(x))))))); a 1x1 convolution on the shortcut
/// where the width changes. Source: arXiv:2012.09841.
struct ResBlockImpl : GatedModule {
  explicit ResBlockImpl(const ResBlockOptions& options);

  Tensor forward(const Tensor& x);  // [B, in, H, W] -> [B, out, H, W]

  double dropout;
  bool recompute;
  torch::nn::GroupNorm norm1;
  Convolution conv1;
  torch::nn::GroupNorm norm2;
  Convolution conv2;
  Convolution nin_shortcut{nullptr};

 private:
  Tensor run(const Tensor& input);
};
TORCH_MODULE(ResBlock);

/// x + proj_out(attention(norm(x))): one head over all positions, scale C^(-1/2). `recompute` as in
/// ResBlockOptions.
struct AttnBlockImpl : GatedModule {
  explicit AttnBlockImpl(int64_t channels, bool recompute = false);

  Tensor forward(const Tensor& x);  // [B, C, H, W], same out

  bool recompute;
  torch::nn::GroupNorm norm;
  Convolution q, k, v, proj_out;

 private:
  Tensor run(const Tensor& input);
};
TORCH_MODULE(AttnBlock);

/// Halves the size: zero row below and zero column to the right, then a 3x3 convolution of
/// stride 2.
struct DownsampleImpl : GatedModule {
  explicit DownsampleImpl(int64_t channels);

  Tensor forward(const Tensor& x);  // [B, C, H, W] -> [B, C, H / 2, W / 2]

  torch::nn::Conv2d conv;
};
TORCH_MODULE(Downsample);

/// Doubles the size: nearest neighbour, then a 3x3 convolution.
struct UpsampleImpl : GatedModule {
  explicit UpsampleImpl(int64_t channels);

  Tensor forward(const Tensor& x);  // [B, C, H, W] -> [B, C, 2 H, 2 W]

  Convolution conv;
};
TORCH_MODULE(Upsample);

}  // namespace gear::nn
