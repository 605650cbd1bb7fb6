#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>

#include <filesystem>
#include <string>

#include "gear/models/teachers/vit_blocks.h"
#include "gear/models/teachers/vit_teacher.h"

// B batch, S image side, g grid side, N = g^2 patches, D width, H heads, d = D / H

namespace gear::models {

/// Shape of the vision tower of SigLIP 2. Its learned positions fix the picture size.
struct Siglip2Config {
  int64_t dim = 768;
  int64_t depth = 12;
  int64_t heads = 12;
  int64_t hidden = 3072;
  int64_t patch = 16;
  int64_t grid = 16;
  double norm_eps = 1e-6;
  int64_t layer = -1;  ///< what encode returns: -1 normalised output, n output of block n
};

/// Patches plus learned positions: [B, 3, S, S] -> [B, N, D].
struct Siglip2EmbeddingsImpl : torch::nn::Module {
  explicit Siglip2EmbeddingsImpl(const Siglip2Config& config);
  Tensor forward(const Tensor& pixels);

  torch::nn::Conv2d patch_embedding;
  torch::nn::Embedding position_embedding;  // [N, D], one row per patch in raster order
};
TORCH_MODULE(Siglip2Embeddings);

struct Siglip2AttentionImpl : torch::nn::Module {
  explicit Siglip2AttentionImpl(const Siglip2Config& config);
  Tensor forward(const Tensor& x);  // [B, N, D], same out

  int64_t heads;
  torch::nn::Linear k_proj, v_proj, q_proj, out_proj;
};
TORCH_MODULE(Siglip2Attention);

/// x += self_attn(layer_norm1 x); x += mlp(layer_norm2 x), the GELU by tanh.
struct Siglip2BlockImpl : torch::nn::Module {
  explicit Siglip2BlockImpl(const Siglip2Config& config);
  Tensor forward(const Tensor& x);  // [B, N, D], same out

  torch::nn::LayerNorm layer_norm1;
  Siglip2Attention self_attn;
  torch::nn::LayerNorm layer_norm2;
  std::shared_ptr<GeluMlp> mlp;
};
TORCH_MODULE(Siglip2Block);

struct Siglip2EncoderImpl : torch::nn::Module {
  explicit Siglip2EncoderImpl(const Siglip2Config& config);

  torch::nn::ModuleList layers;
};
TORCH_MODULE(Siglip2Encoder);

/// Vision tower of arXiv:2502.14786 without its pooling head. Registered names are those of the
/// published files below `vision_model.`. No special tokens.
class Siglip2 : public VitTeacher {
 public:
  explicit Siglip2(const Siglip2Config& config);

  /// Centred to [-1, 1], not resized; S must be grid * patch.
  Tensor preprocess(const Tensor& images_u8) const override;
  Tensor hidden(const Tensor& pixels, int64_t count) override;
  Tensor final_tokens(const Tensor& tokens) override { return post_layernorm(tokens); }

  const Siglip2Config& config() const { return config_; }

  Siglip2Embeddings embeddings;
  Siglip2Encoder encoder;
  torch::nn::LayerNorm post_layernorm;

 private:
  Siglip2Config config_;
};

/// Shape of a published size: one of b, l, so400m, for pictures of 16 * grid pixels.
Siglip2Config siglip2_config(const std::string& size, int64_t grid);

/// Reads a Hugging Face file of the whole model (google/siglip2-base-patch16-256) or of its vision
/// tower alone.
void load_siglip2_weights(Siglip2& model, const std::filesystem::path& path);

}  // namespace gear::models
