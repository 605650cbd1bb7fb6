#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>

#include <filesystem>

#include "gear/models/teachers/vit_blocks.h"
#include "gear/models/teachers/vit_teacher.h"

// B batch, S image side, N = (S / patch)^2 patches, D width, d head width

namespace gear::models {

/// Shape of a V-JEPA 2.1 encoder.
struct Vjepa2Config {
  int64_t dim = 768;
  int64_t depth = 12;
  int64_t heads = 12;
  int64_t hidden = 3072;
  int64_t patch = 16;
  int64_t layer = -1;  ///< what encode returns: -1 normalised output, n output of block n
};

/// Patches of single images: a 3-D convolution one frame deep. [B, 3, S, S] -> [B, N, D].
struct ImagePatchEmbedImpl : torch::nn::Module {
  ImagePatchEmbedImpl(int64_t patch, int64_t dim);
  Tensor forward(const Tensor& pixels);

  torch::nn::Conv3d proj;
};
TORCH_MODULE(ImagePatchEmbed);

/// cos and sin of every cell of a single frame in raster order: float32 [rows * columns, d / 2, 2].
/// Three sections of the head's channels turn by time (0 here), row and column; what is left over
/// stays. Rows and columns are stretched to the 16 cells of pre-training. rows, columns >= 2.
Tensor vjepa2_rotary_table(int64_t rows, int64_t columns, int64_t head_dim,
                           const at::TensorOptions& options = at::kFloat);

/// The image path of the video encoder V-JEPA 2.1 (github.com/facebookresearch/vjepa2). Registered
/// names are those of the published files, whose video path is left out. No special tokens.
class Vjepa2 : public VitTeacher {
 public:
  explicit Vjepa2(const Vjepa2Config& config);

  /// ImageNet-normalised, not resized; S must be a multiple of the patch size.
  Tensor preprocess(const Tensor& images_u8) const override;
  Tensor hidden(const Tensor& pixels, int64_t count) override;
  /// The norm of the last of the four depths that pre-training taps.
  Tensor final_tokens(const Tensor& tokens) override;

  const Vjepa2Config& config() const { return config_; }

  Tensor img_mod_embed;  // [1, 1, D], says that the frame is an image
  ImagePatchEmbed patch_embed_img;
  torch::nn::ModuleList blocks;
  torch::nn::ModuleList norms_block;

 private:
  Vjepa2Config config_;
};

/// Shape of a published size: one of b, l, g, G.
Vjepa2Config vjepa2_config(char size);

/// Reads a published dictionary (vjepa2_1_vitb_dist_vitG_384.pt) or a bare map of its encoder.
void load_vjepa2_weights(Vjepa2& model, const std::filesystem::path& path);

}  // namespace gear::models
