#include "gear/models/critics/patch_gan.h"

#include <torch/nn/init.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include <algorithm>

#include "gear/nn/autocast.h"
#include "gear/nn/convolution.h"

namespace gear::models {
namespace {

constexpr int64_t kMostMultiples = 8;  // widths stop growing at 8 ndf
constexpr double kInitStd = 0.02;

nn::Convolution convolution(int64_t in, int64_t out, int64_t stride, bool bias) {
  nn::Convolution layer(
      torch::nn::Conv2dOptions(in, out, /*kernel_size=*/4).stride(stride).padding(1).bias(bias));
  torch::nn::init::normal_(layer->weight, 0.0, kInitStd);
  return layer;
}

void push_norm(torch::nn::Sequential& layers, CriticNorm norm, int64_t channels) {
  if (norm == CriticNorm::kGroup) {
    layers->push_back(torch::nn::GroupNorm(std::min<int64_t>(32, channels), channels));
    return;
  }
  nn::BatchNorm2d layer(channels);
  torch::nn::init::normal_(layer->weight, 1.0, kInitStd);
  layers->push_back(layer);
}

void push_activation(torch::nn::Sequential& layers) {
  layers->push_back(
      torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(0.2).inplace(true)));
}

torch::nn::Sequential make_layers(const PatchGanConfig& config) {
  torch::nn::Sequential layers;
  layers->push_back(convolution(3, config.ndf, /*stride=*/2, /*bias=*/true));
  push_activation(layers);
  int64_t channels = config.ndf;
  for (int64_t i = 1; i <= config.layers; ++i) {
    const int64_t width = config.ndf * std::min(int64_t{1} << i, kMostMultiples);
    const int64_t stride = i < config.layers ? 2 : 1;
    layers->push_back(convolution(channels, width, stride, /*bias=*/false));
    push_norm(layers, config.norm, width);
    push_activation(layers);
    channels = width;
  }
  layers->push_back(convolution(channels, 1, /*stride=*/1, /*bias=*/true));
  return layers;
}

}  // namespace

PatchGanImpl::PatchGanImpl(const PatchGanConfig& config)
    : main(register_module("main", make_layers(config))) {
  tell_built();
}

Tensor PatchGanImpl::forward(const Tensor& images) {
  const nn::AutocastScope full_precision(images.device().type(), /*enabled=*/false);
  return main->forward(nn::to_full_precision(images));
}

std::vector<nn::BatchNorm2d> PatchGanImpl::batch_norms() {
  std::vector<nn::BatchNorm2d> norms;
  for (const auto& layer : main->children()) {
    if (auto norm = std::dynamic_pointer_cast<nn::BatchNorm2dImpl>(layer)) norms.emplace_back(norm);
  }
  return norms;
}

void PatchGanImpl::set_world(const dist::World& world) {
  for (auto& norm : batch_norms()) norm->set_world(world);
}

void PatchGanImpl::commit_statistics(const dist::World& ranks, int64_t passes) {
  for (auto& norm : batch_norms()) norm->commit(ranks, passes);
}

void PatchGanImpl::discard_statistics() {
  for (auto& norm : batch_norms()) norm->discard();
}

}  // namespace gear::models
