#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include <filesystem>

#include "gear/io/weights.h"
#include "gear/models/teachers/positions.h"
#include "gear/models/teachers/vit_blocks.h"
#include "gear/models/teachers/vit_teacher.h"

// B batch, S image side, g grid side, N = g^2 patches, R registers, D width

namespace gear::models {

/// Shape of a DINOv2 encoder. The published ones store positions on a 37 x 37 grid.
struct Dinov2Config {
  int64_t dim = 768;
  int64_t depth = 12;
  int64_t heads = 12;
  int64_t hidden = 3072;
  FeedForwardKind feed_forward = FeedForwardKind::kGelu;
  int64_t registers = 0;
  int64_t patch = 14;
  int64_t grid = 37;
  int64_t layer = -1;  ///< what encode returns: -1 normalised output, n output of block n
};

/// Vision transformer of arXiv:2304.07193, registers of arXiv:2309.16588. Registered names are
/// those of the published hub files. In front of the patches stand the class token and registers.
class Dinov2 : public VitTeacher {
 public:
  explicit Dinov2(const Dinov2Config& config);

  /// ImageNet-normalised, then resized to [B, 3, g * patch, g * patch] by bicubic without
  /// antialias, as the alignment targets of the method are.
  Tensor preprocess(const Tensor& images_u8) const override;
  Tensor hidden(const Tensor& pixels, int64_t count) override;
  Tensor final_tokens(const Tensor& tokens) override { return norm(tokens); }

  /// Resamples the position table to another grid.
  void set_grid(int64_t grid, PositionRule rule = PositionRule::kAlignment);

  const Dinov2Config& config() const { return config_; }

  Tensor cls_token;        // [1, 1, D]
  Tensor pos_embed;        // [1, 1 + g^2, D]
  Tensor register_tokens;  // [1, R, D], undefined without registers
  Tensor mask_token;       // [1, D], stored in the files, never used here
  PatchEmbed patch_embed;
  torch::nn::ModuleList blocks;
  torch::nn::LayerNorm norm;

 private:
  Dinov2Config config_;
};

/// Shape of a published size: one of s, b, l, g, whose positions lie on the 37 x 37 grid.
Dinov2Config dinov2_config(char size, bool registers);

/// Hidden width of DINOv2's SwiGLU for a nominal width: two thirds, rounded up to a multiple of 8.
int64_t dinov2_swiglu_hidden(int64_t nominal);

/// Tensors of a DINOv2 file under the names of the hub files, which are the registered ones.
/// Hugging Face's names are translated, with q, k and v joined; anything else passes unchanged.
io::TensorMap with_hub_names(const io::TensorMap& tensors);

/// Reads a hub file (dinov2_vitb14_pretrain.pth) or a Hugging Face one of the same encoder, and
/// resamples its positions to the grid of `model` by the alignment rule.
void load_dinov2_weights(Dinov2& model, const std::filesystem::path& path);

}  // namespace gear::models
