#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>

#include <array>
#include <string>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/nn/convolution.h"

// B batch, C_l H_l W_l shape of VGG stage l = 0..4

namespace gear::models {

/// Widths of the five VGG-16 stages; the published network has the defaults.
struct LpipsConfig {
  std::array<int64_t, 5> channels = {64, 128, 256, 512, 512};
};

/// Shift and scale of images in [-1, 1] to what VGG was trained on.
struct LpipsScalingImpl : torch::nn::Module {
  LpipsScalingImpl();
  Tensor forward(const Tensor& images) { return (images - shift) / scale; }

  Tensor shift, scale;  // [1, 3, 1, 1]
};
TORCH_MODULE(LpipsScaling);

/// Convolutions of one VGG stage, each followed by ReLU, named by their index in torchvision's
/// `features`. All but the first stage begin with a 2 x 2 max pooling.
struct VggStageImpl : torch::nn::Module {
  VggStageImpl(int64_t first_index, int64_t convolutions, int64_t in, int64_t out);
  Tensor forward(const Tensor& x);

  bool pool_first;
  std::vector<nn::Convolution> convolutions;
};
TORCH_MODULE(VggStage);

/// The five stages `slice1` .. `slice5`: scaled images -> activations [B, C_l, H_l, W_l].
struct VggFeaturesImpl : torch::nn::Module {
  explicit VggFeaturesImpl(const LpipsConfig& config);
  std::vector<Tensor> forward(const Tensor& images);

  std::vector<VggStage> stages;
};
TORCH_MODULE(VggFeatures);

/// Weight per channel of a squared feature difference; a 1 x 1 convolution under `model.1`, where
/// the published file has it (a dropout layer, never active here, stood at 0).
struct LpipsLinearImpl : torch::nn::Module {
  explicit LpipsLinearImpl(int64_t channels);
  Tensor forward(const Tensor& x);  // [B, C, H, W] -> [B, 1, H, W]

  torch::nn::Conv2d convolution;
};
TORCH_MODULE(LpipsLinear);

/// Learned perceptual distance on VGG-16 (arXiv:1801.03924, linear weights v0.1). Frozen; gradient
/// flows to the images only. It runs in float32 whatever autocast says.
struct LpipsImpl : torch::nn::Module {
  explicit LpipsImpl(const LpipsConfig& config = {});

  /// Activations of the five stages, scaled to unit length over the channels. The features of the
  /// real images are computed once per step, without gradient, and compared with as needed.
  ///   images [B, 3, H, W] in [-1, 1]
  std::vector<Tensor> features(const Tensor& images);

  /// [B, 1, 1, 1]: sum over stages of the spatial mean of the weighted squared difference.
  Tensor distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b);

  Tensor forward(const Tensor& a, const Tensor& b) { return distance(features(a), features(b)); }

  LpipsScaling scaling_layer;
  VggFeatures net;
  std::vector<LpipsLinear> linear_layers;  // registered as lin0 .. lin4
};
TORCH_MODULE(Lpips);

/// Frozen network of full size from the two published files; an empty path leaves that part random
/// (default generator), which `missing_lpips_weights_notice` announces.
///   vgg_path     torchvision's vgg16-397923af.pth
///   linear_path  vgg.pth of LPIPS v0.1
Lpips make_lpips(const std::string& vgg_path, const std::string& linear_path);

/// One sentence for the log when a path is empty: what is random, which file to get, which key to
/// set. "" when both are given.
std::string missing_lpips_weights_notice(const std::string& vgg_path,
                                         const std::string& linear_path);

}  // namespace gear::models
