#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include <filesystem>

#include "gear/io/weights.h"
#include "gear/models/teachers/vit_blocks.h"
#include "gear/models/teachers/vit_teacher.h"

// B batch, S image side, g grid side, N = g^2 patches, D width, H heads, d = D / H

namespace gear::models {

/// Shape of CLIP's vision tower; the default is the published ViT-L/14.
struct ClipConfig {
  int64_t dim = 1024;
  int64_t depth = 24;
  int64_t heads = 16;
  int64_t hidden = 4096;
  int64_t patch = 14;
  int64_t grid = 16;
  int64_t output_dim = 768;
  int64_t layer = -1;  ///< what encode returns: -1 output of the last block, n output of block n
};

/// Full self-attention with the names of PyTorch's MultiheadAttention.
struct ClipAttentionImpl : torch::nn::Module {
  ClipAttentionImpl(int64_t dim, int64_t heads);
  Tensor forward(const Tensor& x);  // [B, N, D], same out

  int64_t heads;
  Tensor in_proj_weight;  // [3 D, D], rows q, k, v
  Tensor in_proj_bias;    // [3 D]
  torch::nn::Linear out_proj;
};
TORCH_MODULE(ClipAttention);

/// c_proj(y sigmoid(1.702 y)) with y = c_fc(x), an approximation of the GELU.
struct ClipMlpImpl : torch::nn::Module {
  ClipMlpImpl(int64_t dim, int64_t hidden);
  Tensor forward(const Tensor& x);  // [B, N, D], same out

  torch::nn::Linear c_fc, c_proj;
};
TORCH_MODULE(ClipMlp);

/// x += attn(ln_1 x); x += mlp(ln_2 x).
struct ClipBlockImpl : torch::nn::Module {
  explicit ClipBlockImpl(const ClipConfig& config);
  Tensor forward(const Tensor& x);  // [B, N, D], same out

  ClipAttention attn;
  torch::nn::LayerNorm ln_1;
  ClipMlp mlp;
  torch::nn::LayerNorm ln_2;
};
TORCH_MODULE(ClipBlock);

struct ClipTransformerImpl : torch::nn::Module {
  explicit ClipTransformerImpl(const ClipConfig& config);

  torch::nn::ModuleList resblocks;
};
TORCH_MODULE(ClipTransformer);

/// Vision tower of arXiv:2103.00020. Registered names are those of the official file below
/// `visual.`. A class token stands in front of the patches.
class Clip : public VitTeacher {
 public:
  explicit Clip(const ClipConfig& config);

  /// Resized to [B, 3, g * patch, g * patch] by bicubic without antialias, then normalised.
  Tensor preprocess(const Tensor& images_u8) const override;
  Tensor hidden(const Tensor& pixels, int64_t count) override;
  /// The method aligns with the output of the last block as it is, without ln_post.
  Tensor final_tokens(const Tensor& tokens) override { return tokens; }

  const ClipConfig& config() const { return config_; }

  Tensor class_embedding;       // [D]
  Tensor positional_embedding;  // [1 + N, D]
  Tensor proj;                  // [D, output_dim], stored in the files, never used here
  torch::nn::Conv2d conv1;
  torch::nn::LayerNorm ln_pre;
  ClipTransformer transformer;
  torch::nn::LayerNorm ln_post;  // stored in the files, never used here

 private:
  ClipConfig config_;
};

/// Tensors of a CLIP file under the official names without `visual.`, which are the registered
/// ones. Hugging Face's names are translated, with q, k and v joined.
io::TensorMap with_clip_names(const io::TensorMap& tensors);

/// Reads the official ViT-L-14.pt (a TorchScript archive of half floats, which are converted) or a
/// Hugging Face file of the same encoder (openai/clip-vit-large-patch14).
void load_clip_weights(Clip& model, const std::filesystem::path& path);

}  // namespace gear::models
