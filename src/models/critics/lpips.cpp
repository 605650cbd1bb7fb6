#include "gear/models/critics/lpips.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/max_pool2d.h>
#include <torch/nn/init.h>

#include "gear/nn/autocast.h"

// B batch, C_l H_l W_l shape of VGG stage l = 0..4

namespace gear::models {
namespace {

struct StageShape {
  int64_t first_index;  // of its first convolution in torchvision's `features`
  int64_t convolutions;
};
constexpr std::array<StageShape, 5> kVgg16 = {{{0, 2}, {5, 2}, {10, 3}, {17, 3}, {24, 3}}};

// Unit vectors of non-negative entries differ by at most 2 (squared), so with this weight the five
// stages of a random network sum to at most 1.
constexpr double kRandomLinearWeight = 0.1;

Tensor per_channel(double red, double green, double blue) {  // [1, 3, 1, 1]
  // Out of factories alone, so that it also works where tensors have no storage.
  const auto value = [](double v) { return at::full({1, 1, 1, 1}, v, at::kFloat); };
  return at::cat({value(red), value(green), value(blue)}, 1);
}

Tensor unit_length(const Tensor& x) {
  // The root is outside of eps. vector_norm has gradient 0, not NaN, where all channels are 0.
  const auto norm = at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, /*keepdim=*/true);
  return x / (norm + 1e-10);
}

}  // namespace

LpipsScalingImpl::LpipsScalingImpl()
    : shift(register_buffer("shift", per_channel(-0.030, -0.088, -0.188))),
      scale(register_buffer("scale", per_channel(0.458, 0.448, 0.450))) {}

VggStageImpl::VggStageImpl(int64_t first_index, int64_t count, int64_t in, int64_t out)
    : pool_first(first_index > 0) {
  for (int64_t i = 0; i < count; ++i) {
    // Between two convolutions stands a ReLU, hence every second index.
    convolutions.push_back(
        register_module(std::to_string(first_index + 2 * i), nn::conv3x3(i == 0 ? in : out, out)));
    torch::nn::init::kaiming_normal_(convolutions.back()->weight, 0.0, torch::kFanOut,
                                     torch::kReLU);
    torch::nn::init::zeros_(convolutions.back()->bias);
  }
}

Tensor VggStageImpl::forward(const Tensor& input) {
  auto x = pool_first ? at::max_pool2d(input, {2, 2}) : input;
  // In place: a convolution does not need its own output for the backward pass.
  for (auto& convolution : convolutions) x = convolution(x).relu_();
  return x;
}

VggFeaturesImpl::VggFeaturesImpl(const LpipsConfig& config) {
  int64_t in = 3;
  for (size_t i = 0; i < kVgg16.size(); ++i) {
    const auto [first_index, count] = kVgg16[i];
    stages.push_back(register_module("slice" + std::to_string(i + 1),
                                     VggStage(first_index, count, in, config.channels[i])));
    in = config.channels[i];
  }
}

std::vector<Tensor> VggFeaturesImpl::forward(const Tensor& images) {
  std::vector<Tensor> activations;
  auto x = images;
  for (auto& stage : stages) activations.push_back(x = stage(x));
  return activations;
}

LpipsLinearImpl::LpipsLinearImpl(int64_t channels)
    : convolution(torch::nn::Conv2dOptions(channels, 1, 1).bias(false)) {
  auto model = std::make_shared<torch::nn::Module>("model");
  model->register_module("1", convolution);
  register_module("model", model);
  torch::nn::init::constant_(convolution->weight, kRandomLinearWeight);
}

Tensor LpipsLinearImpl::forward(const Tensor& x) { return convolution(x); }

LpipsImpl::LpipsImpl(const LpipsConfig& config)
    : scaling_layer(register_module("scaling_layer", LpipsScaling())),
      net(register_module("net", VggFeatures(config))) {
  for (size_t i = 0; i < config.channels.size(); ++i) {
    linear_layers.push_back(
        register_module("lin" + std::to_string(i), LpipsLinear(config.channels[i])));
  }
  for (auto& parameter : parameters()) parameter.set_requires_grad(false);
  eval();
}

std::vector<Tensor> LpipsImpl::features(const Tensor& images) {
  const nn::AutocastScope full_precision(images.device().type(), /*enabled=*/false);
  const auto scaled =
      scaling_layer(nn::to_full_precision(images)).contiguous(at::MemoryFormat::ChannelsLast);
  auto activations = net(scaled);
  for (auto& x : activations) x = unit_length(x);
  return activations;
}

Tensor LpipsImpl::distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  TORCH_CHECK(a.size() == linear_layers.size() && b.size() == linear_layers.size(),
              "Lpips::distance: expected features of ", linear_layers.size(), " stages");
  const nn::AutocastScope full_precision(a[0].device().type(), /*enabled=*/false);
  Tensor sum;
  for (size_t i = 0; i < linear_layers.size(); ++i) {
    const auto weighted = linear_layers[i]((a[i] - b[i]).square());  // [B, 1, H_l, W_l]
    const auto mean = weighted.mean({2, 3}, /*keepdim=*/true);       // [B, 1, 1, 1]
    sum = sum.defined() ? sum + mean : mean;
  }
  return sum;
}

}  // namespace gear::models
