#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "gear/config/config.h"
#include "gear/core/tensor.h"

// B batch, S image side, N = (S / f)^2 patches, F feature width

namespace gear::models {

/// Help of teacher.model: every name that it can have.
const char* teacher_model_help();

/// Frozen vision encoders whose patch features guide the alignment loss.
struct TeacherConfig {
  std::string model = "dinov2-vit-b";
  std::string weights;
  int64_t layer = -1;
  int64_t custom_dim = 64;
  int64_t custom_depth = 2;
  int64_t custom_heads = 4;

  template <class Visitor>
  void fields(Visitor& v) {
    v("model", model, teacher_model_help());
    v("weights", weights,
      "Path of the published weight file; empty means random weights, announced at start. Several "
      "teachers: their files in the same order, separated by commas.");
    v("layer", layer, "-1: the encoder's own output; n: output of block n before the final norm.",
      config::at_least(-1));
    v("custom_dim", custom_dim, "Width of dinov2-custom.", config::in_range(1, 65536));
    v("custom_depth", custom_depth, "Blocks of dinov2-custom.", config::in_range(1, 1024));
    v("custom_heads", custom_heads, "Heads of dinov2-custom; divides custom_dim.",
      config::in_range(1, 1024));
  }
  void check(const config::Where& at) const;
};

/// All frozen, eval, no gradient.
class Teacher : public torch::nn::Module {
 public:
  /// images uint8 [B, 3, S, S] -> [B, N, F] float32 patch tokens in raster order, one per token of
  /// the tokenizer grid.
  virtual Tensor encode(const Tensor& images_u8) = 0;
  virtual int64_t feature_dim() const = 0;
};

/// One configuration per teacher of a list, each with one name and its own file.
std::vector<TeacherConfig> single_teachers(const TeacherConfig& config);

/// A frozen teacher with one feature per token of the tokenizer, whose grid has `grid` tokens per
/// side. `config` names one teacher. Weights are read from config.weights when it is given;
/// otherwise they are random (default generator), which `missing_weights_notice` announces.
std::shared_ptr<Teacher> make_teacher(const TeacherConfig& config, int64_t grid);

/// One sentence for the log when config.weights is empty: what is random, which file to get, which
/// key to set. "" when the path is given. `config` names one teacher.
std::string missing_weights_notice(const TeacherConfig& config);

/// Throws Error when a teacher has no features for pictures of `image_size` pixels whose tokens
/// make a grid of `grid` x `grid`. `at` places the keys of the whole configuration.
void check_teacher_images(const TeacherConfig& config, int64_t image_size, int64_t grid,
                          const config::Where& at);

}  // namespace gear::models
