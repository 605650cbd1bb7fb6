#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include <filesystem>
#include <string>

#include "gear/io/weights.h"
#include "gear/models/teachers/vit_blocks.h"
#include "gear/models/teachers/vit_teacher.h"

// B batch, S image side, N = (S / patch)^2 patches, R registers, D width, d head width

namespace gear::models {

/// Shape of a DINOv3 encoder of the ViT family.
struct Dinov3Config {
  int64_t dim = 768;
  int64_t depth = 12;
  int64_t heads = 12;
  int64_t hidden = 3072;
  FeedForwardKind feed_forward = FeedForwardKind::kGelu;
  QkvBias qkv_bias = QkvBias::kQueryAndValue;
  int64_t registers = 4;
  int64_t patch = 16;
  double norm_eps = 1e-5;
  double rope_base = 100.0;
  bool local_cls_norm = false;  ///< the files of 7b hold one more norm, unused here
  int64_t layer = -1;           ///< what encode returns: -1 normalised output, n output of block n
};

/// Angles of the axial rotary embedding of DINOv3, from coordinates in (-1, 1).
struct RopeEmbedImpl : torch::nn::Module {
  RopeEmbedImpl(int64_t head_dim, double base);  // head_dim a multiple of 4

  /// cos and sin of every cell of a grid in raster order: float32 [rows * columns, d / 2, 2]. The
  /// first half of the angles follows the row, the second the column.
  Tensor forward(int64_t rows, int64_t columns) const;

  Tensor periods;  // [d / 4], stored in the official files
};
TORCH_MODULE(RopeEmbed);

/// Vision transformer of arXiv:2508.10104. Registered names are those of the official files. In
/// front of the patches stand the class token and registers, which are not rotated.
class Dinov3 : public VitTeacher {
 public:
  explicit Dinov3(const Dinov3Config& config);

  /// ImageNet-normalised, not resized; S must be a multiple of the patch size.
  Tensor preprocess(const Tensor& images_u8) const override;
  Tensor hidden(const Tensor& pixels, int64_t count) override;
  Tensor final_tokens(const Tensor& tokens) override { return norm(tokens); }

  const Dinov3Config& config() const { return config_; }

  Tensor cls_token;       // [1, 1, D]
  Tensor storage_tokens;  // [1, R, D], the registers; undefined without any
  Tensor mask_token;      // [1, D], stored in the files, never used here
  PatchEmbed patch_embed;
  RopeEmbed rope_embed;
  torch::nn::ModuleList blocks;
  torch::nn::LayerNorm norm;

 private:
  RotaryPositions positions(int64_t rows, int64_t columns) const;

  Dinov3Config config_;
};

/// Shape of a published size: one of s, splus, b, l, lplus, hplus, 7b.
Dinov3Config dinov3_config(const std::string& size);

/// Hidden width of DINOv3's SwiGLU for a nominal width: two thirds, rounded up to a multiple.
int64_t dinov3_swiglu_hidden(int64_t nominal, int64_t multiple);

/// Tensors of a DINOv3 file under the official names, which are the registered ones. Hugging Face's
/// names are translated, with q, k and v joined; anything else passes unchanged.
io::TensorMap with_dinov3_names(const io::TensorMap& tensors);

/// Reads an official file (dinov3_vitb16_pretrain_lvd1689m-<hash>.pth) or a Hugging Face one of the
/// same encoder.
void load_dinov3_weights(Dinov3& model, const std::filesystem::path& path);

}  // namespace gear::models
