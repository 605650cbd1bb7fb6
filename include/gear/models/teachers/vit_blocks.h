#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <memory>

#include "gear/core/tensor.h"

// Parts that the vision transformers of this folder share. Registered names are those of the files
// of DINOv2, DINOv3 and V-JEPA.
// B batch, S input side in pixels, N tokens, D width, H heads, d = D / H

namespace gear::models {

enum class FeedForwardKind {
  kGelu,         ///< GeluMlp
  kFusedSwiGlu,  ///< FusedSwiGluMlp
  kSwiGlu,       ///< SwiGluMlp
};

/// Which rows of the fused projection have a bias.
enum class QkvBias { kAll, kNone, kQueryAndValue };

/// Shape of one pre-norm transformer block.
struct VitBlockConfig {
  int64_t dim = 768;
  int64_t heads = 12;
  int64_t hidden = 3072;
  FeedForwardKind feed_forward = FeedForwardKind::kGelu;
  QkvBias qkv_bias = QkvBias::kAll;
  bool layer_scale = true;
  double norm_eps = 1e-6;
};

/// Rotation of query and key channels by the position of their token.
struct RotaryPositions {
  Tensor table;         ///< [N, d / 2, 2], cos and sin as of nn::apply_rotary; undefined: none
  bool halves = false;  ///< channels i and i + d / 2 make a pair, else 2 i and 2 i + 1
};

torch::nn::LayerNorm layer_norm(int64_t dim, double eps);

/// Full attention: q, k, v [B, N, H, d] -> [B, N, D].
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v);

/// Non-overlapping patches to tokens in raster order: [B, 3, S, S] -> [B, (S / patch)^2, D].
struct PatchEmbedImpl : torch::nn::Module {
  PatchEmbedImpl(int64_t patch, int64_t dim);
  Tensor forward(const Tensor& pixels);

  torch::nn::Conv2d proj;
};
TORCH_MODULE(PatchEmbed);

/// Fused projection of queries, keys and values: [B, N, D] -> [B, N, 3 D], rows in this order.
struct QkvLinearImpl : torch::nn::LinearImpl {
  QkvLinearImpl(int64_t dim, QkvBias bias);
  Tensor forward(const Tensor& x);

  Tensor bias_mask;  // [3 D], 0 for the keys, else 1; only with QkvBias::kQueryAndValue
};
TORCH_MODULE(QkvLinear);

/// Full self-attention; the heads are contiguous within q, k and v.
struct VitAttentionImpl : torch::nn::Module {
  explicit VitAttentionImpl(const VitBlockConfig& config);
  Tensor forward(const Tensor& x, const RotaryPositions& positions);  // [B, N, D], same out

  int64_t heads;
  QkvLinear qkv;
  torch::nn::Linear proj;
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

enum class Gelu { kErf, kTanh };

/// fc2(gelu(fc1 x)), the GELU exact (erf) or approximated by tanh.
struct GeluMlp : FeedForward {
  GeluMlp(int64_t dim, int64_t hidden, Gelu gelu = Gelu::kErf);
  Tensor forward(const Tensor& x) override;

  Gelu gelu;
  torch::nn::Linear fc1, fc2;
};

/// w3(silu(a) * b), where w12 yields a and b side by side in this order.
struct FusedSwiGluMlp : FeedForward {
  FusedSwiGluMlp(int64_t dim, int64_t hidden);
  Tensor forward(const Tensor& x) override;

  torch::nn::Linear w12, w3;
};

/// w3(silu(w1 x) * w2 x), each with a bias.
struct SwiGluMlp : FeedForward {
  SwiGluMlp(int64_t dim, int64_t hidden);
  Tensor forward(const Tensor& x) override;

  torch::nn::Linear w1, w2, w3;
};

/// x += ls1(attn(norm1 x)); x += ls2(mlp(norm2 x)).
struct VitBlockImpl : torch::nn::Module {
  explicit VitBlockImpl(const VitBlockConfig& config);
  Tensor forward(const Tensor& x, const RotaryPositions& positions = {});  // [B, N, D], same out

  torch::nn::LayerNorm norm1;
  VitAttention attn;
  LayerScale ls1;  // null without layer_scale
  torch::nn::LayerNorm norm2;
  std::shared_ptr<FeedForward> mlp;
  LayerScale ls2;  // null without layer_scale
};
TORCH_MODULE(VitBlock);

/// `depth` blocks of the same shape, registered by their number.
torch::nn::ModuleList make_vit_blocks(int64_t depth, const VitBlockConfig& config);

/// Output of the first `count` of these blocks: [B, N, D], same out.
Tensor run_vit_blocks(torch::nn::ModuleList& blocks, int64_t count, const Tensor& x,
                      const RotaryPositions& positions = {});

}  // namespace gear::models
