#include "gear/nn/conv_blocks.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>

#include <memory>

#include "gear/nn/checkpoint.h"
#include "gear/nn/dropout.h"
#include "gear/ops/norm_conv2d.h"
#include "gear/ops/upsample_conv2d.h"

namespace gear::nn {
namespace {

/// LibTorch's own kernel for contiguous maps on the CPU is as accurate as ours and repeats
/// published results to the bit.
bool takes_library_norm(const Tensor& x) { return x.is_cpu() && x.is_contiguous(); }

Tensor library_norm(const torch::nn::GroupNorm& norm, const Tensor& x) {
  return at::group_norm(x, norm->options.num_groups(), norm->weight, norm->bias,
                        norm->options.eps());
}

ops::GroupNormOptions norm_options(const torch::nn::GroupNorm& norm, ops::Activation activation) {
  return {
      .groups = norm->options.num_groups(), .eps = norm->options.eps(), .activation = activation};
}

Tensor swish_of_norm(const torch::nn::GroupNorm& norm, const Tensor& x) {
  if (takes_library_norm(x)) return at::silu(library_norm(norm, x));
  return ops::group_norm(x, norm->weight, norm->bias, norm_options(norm, ops::Activation::kSilu));
}

}  // namespace

Convolution conv1x1(int64_t in, int64_t out, bool bias) {
  return Convolution(torch::nn::Conv2dOptions(in, out, 1).bias(bias));
}

torch::nn::GroupNorm group_norm(int64_t channels) {
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(32, channels).eps(1e-6));
}

Tensor normalise(const torch::nn::GroupNorm& norm, const Tensor& x) {
  if (takes_library_norm(x)) return library_norm(norm, x);
  return ops::group_norm(x, norm->weight, norm->bias, norm_options(norm, ops::Activation::kNone));
}

Tensor conv_of_swish(Convolution& conv, const torch::nn::GroupNorm& norm, const Tensor& x) {
  if (takes_library_norm(x)) return conv(swish_of_norm(norm, x));
  return ops::norm_conv2d(x,
                          {.norm_weight = norm->weight,
                           .norm_bias = norm->bias,
                           .weight = conv->weight,
                           .bias = conv->bias},
                          {.norm = norm_options(norm, ops::Activation::kSilu),
                           .padding = conv->padding(),
                           .method = conv_method()});
}

ResBlockImpl::ResBlockImpl(const ResBlockOptions& options)
    : dropout(options.dropout),
      recompute(options.recompute),
      norm1(group_norm(options.in)),
      conv1(conv3x3(options.in, options.out, options.bias)),
      norm2(group_norm(options.out)),
      conv2(conv3x3(options.out, options.out, options.bias)) {
  register_module("norm1", norm1);
  if (options.norms_first) register_module("norm2", norm2);
  register_module("conv1", conv1);
  if (!options.norms_first) register_module("norm2", norm2);
  register_module("conv2", conv2);
  if (options.in != options.out) {
    nin_shortcut = register_module("nin_shortcut", conv1x1(options.in, options.out, options.bias));
  }
  tell_built();
}

Tensor ResBlockImpl::forward(const Tensor& x) {
  if (!recompute) return run(x);
  const auto self = std::static_pointer_cast<ResBlockImpl>(shared_from_this());
  return checkpoint([self](const Tensor& input) { return self->run(input); }, x, parameters());
}

Tensor ResBlockImpl::run(const Tensor& input) {
  const auto x = enter(input);
  auto h = conv_of_swish(conv1, norm1, x);
  h = dropout > 0 ? conv2(nn::dropout(swish_of_norm(norm2, h), dropout, is_training()))
                  : conv_of_swish(conv2, norm2, h);
  // In place: the gradient of a convolution does not need its output.
  return leave(h.add_(nin_shortcut ? nin_shortcut(x) : x));
}

AttnBlockImpl::AttnBlockImpl(int64_t channels, bool recompute)
    : recompute(recompute),
      norm(register_module("norm", group_norm(channels))),
      q(register_module("q", conv1x1(channels, channels))),
      k(register_module("k", conv1x1(channels, channels))),
      v(register_module("v", conv1x1(channels, channels))),
      proj_out(register_module("proj_out", conv1x1(channels, channels))) {
  tell_built();
}

Tensor AttnBlockImpl::forward(const Tensor& x) {
  if (!recompute) return run(x);
  const auto self = std::static_pointer_cast<AttnBlockImpl>(shared_from_this());
  return checkpoint([self](const Tensor& input) { return self->run(input); }, x, parameters());
}

Tensor AttnBlockImpl::run(const Tensor& input) {
  const auto x = enter(input);
  const auto normed = normalise(norm, x);
  const auto rows = [&](Convolution& projection) {  // [B, C, H, W] -> [B, 1, N, C]
    return projection(normed).flatten(2).transpose(1, 2).contiguous().unsqueeze(1);
  };
  auto h = at::scaled_dot_product_attention(rows(q), rows(k), rows(v));
  h = h.squeeze(1).transpose(1, 2).reshape(x.sizes());  // [B, 1, N, C] -> [B, C, H, W]
  return leave(proj_out(h.contiguous(x.suggest_memory_format())).add_(x));
}

DownsampleImpl::DownsampleImpl(int64_t channels)
    : conv(register_module(
          "conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, 3).stride(2)))) {
  tell_built();
}

Tensor DownsampleImpl::forward(const Tensor& x) {
  return leave(conv(at::constant_pad_nd(enter(x), {0, 1, 0, 1})));
}

UpsampleImpl::UpsampleImpl(int64_t channels)
    : conv(register_module("conv", conv3x3(channels, channels))) {
  tell_built();
}

Tensor UpsampleImpl::forward(const Tensor& x) {
  return leave(ops::upsample_conv2d(enter(x), conv->weight, conv->bias, conv_method()));
}

}  // namespace gear::nn
