#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <memory>

#include "gear/core/tensor.h"

// Parts that the vision transformers of this folder share. Registered names are those of the
// published DINO files.
// B batch, S input side in pixels, N tokens, D width, H heads

namespace gear::models {

enum class FeedForwardKind { kGelu, kSwiGlu };

/// Shape of one pre-norm transformer block.
struct VitBlockConfig {
  int64_t dim = 768;
  int64_t heads = 12;
  int64_t hidden = 3072;
  FeedForwardKind feed_forward = FeedForwardKind::kGelu;
  double norm_eps = 1e-6;
};

/// Non-overlapping patches to tokens in raster order: [B, 3, S, S] -> [B, (S / patch)^2, D].
struct PatchEmbedImpl : torch::nn::Module {
  PatchEmbedImpl(int64_t patch, int64_t dim);
  Tensor forward(const Tensor& pixels);

  torch::nn::Conv2d proj;
};
TORCH_MODULE(PatchEmbed);

/// Full self-attention with one fused projection; its rows are q, k, v, heads contiguous in each.
struct VitAttentionImpl : torch::nn::Module {
  VitAttentionImpl(int64_t dim, int64_t heads);
  Tensor forward(const Tensor& x);  // [B, N, D], same out

  int64_t heads;
  torch::nn::Linear qkv, proj;
};
TORCH_MODULE(VitAttention);

/// Learned gain per channel at the end of a residual branch.
struct LayerScaleImpl : torch::nn::Module {
  explicit LayerScaleImpl(int64_t dim);
  Tensor forward(const Tensor& x) { return x * gamma; }

  Tensor gamma;  // [D]
};
TORCH_MODULE(LayerScale);

/// [B, N, D] -> [B, N, D].
class FeedForward : public torch::nn::Module {
 public:
  virtual Tensor forward(const Tensor& x) = 0;
};

/// fc2(gelu(fc1 x)) with the exact (erf) GELU.
struct GeluMlp : FeedForward {
  GeluMlp(int64_t dim, int64_t hidden);
  Tensor forward(const Tensor& x) override;

  torch::nn::Linear fc1, fc2;
};

/// w3(silu(a) * b), where w12 yields a and b side by side in this order.
struct FusedSwiGluMlp : FeedForward {
  FusedSwiGluMlp(int64_t dim, int64_t hidden);
  Tensor forward(const Tensor& x) override;

  torch::nn::Linear w12, w3;
};

/// x += ls1(attn(norm1 x)); x += ls2(mlp(norm2 x)).
struct VitBlockImpl : torch::nn::Module {
  explicit VitBlockImpl(const VitBlockConfig& config);
  Tensor forward(const Tensor& x);  // [B, N, D], same out

  torch::nn::LayerNorm norm1;
  VitAttention attn;
  LayerScale ls1;
  torch::nn::LayerNorm norm2;
  std::shared_ptr<FeedForward> mlp;
  LayerScale ls2;
};
TORCH_MODULE(VitBlock);

}  // namespace gear::models
