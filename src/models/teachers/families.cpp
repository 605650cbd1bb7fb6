#include "models/teachers/families.h"

#include <filesystem>

#include "gear/models/teachers/clip.h"
#include "gear/models/teachers/dinov2.h"
#include "gear/models/teachers/dinov3.h"
#include "gear/models/teachers/siglip2.h"
#include "gear/models/teachers/vjepa2.h"

namespace gear::models {
namespace {

/// A network of the chosen shape that returns the chosen layer.
template <class Model, class Config>
std::shared_ptr<Teacher> build(Config shape, const TeacherChoice& choice,
                               void (*load_weights)(Model&, const std::filesystem::path&)) {
  shape.layer = choice.config.layer;
  auto model = std::make_shared<Model>(shape);
  if (choice.config.weights.empty()) {
    model->initialize_randomly();
  } else {
    load_weights(*model, choice.config.weights);
  }
  return model;
}

Dinov2Config custom_shape(const TeacherConfig& config) {
  return {.dim = config.custom_dim,
          .depth = config.custom_depth,
          .heads = config.custom_heads,
          .hidden = 4 * config.custom_dim};
}

std::shared_ptr<Teacher> build_dinov2(Dinov2Config shape, const TeacherChoice& choice) {
  shape.grid = choice.grid;
  return build(shape, choice, load_dinov2_weights);
}

/// "splus" stands in file names as "s16plus".
std::string dinov3_file(const std::string& size) {
  const bool plus = size.ends_with("plus");
  const std::string letter = plus ? size.substr(0, size.size() - 4) : size;
  return "dinov3_vit" + letter + "16" + (plus ? "plus" : "") + "_pretrain_lvd1689m-<hash>.pth";
}

std::string siglip2_file(const TeacherChoice& choice) {
  const std::string name = choice.size == "b" ? "base" : choice.size == "l" ? "large" : choice.size;
  return "model.safetensors of google/siglip2-" + name + "-patch16-256 (for 512 pixels -512)";
}

std::string vjepa2_file(const std::string& size) {
  const bool distilled = size == "b" || size == "l";
  return "vjepa2_1_vit" + size + (distilled ? "_dist_vitG" : "") + "_384.pt";
}

constexpr const char* kDinov2Origin =
    "the official DINOv2 release (github.com/facebookresearch/dinov2)";

const TeacherFamily kDinov2 = {
    .prefix = "dinov2-vit-",
    .sizes = {"s", "b", "l", "g"},
    .image_sizes = {},  // pictures are resized and positions resampled to the tokenizer's grid
    .depth = [](const TeacherChoice& choice) { return dinov2_config(choice.size[0], false).depth; },
    .make =
        [](const TeacherChoice& choice) {
          return build_dinov2(dinov2_config(choice.size[0], false), choice);
        },
    .weight_file =
        [](const TeacherChoice& choice) { return "dinov2_vit" + choice.size + "14_pretrain.pth"; },
    .origin = kDinov2Origin,
};

const TeacherFamily kDinov2Registers = {
    .prefix = "dinov2_reg-vit-",
    .sizes = {"s", "b", "l", "g"},
    .image_sizes = {},
    .depth = [](const TeacherChoice& choice) { return dinov2_config(choice.size[0], true).depth; },
    .make =
        [](const TeacherChoice& choice) {
          return build_dinov2(dinov2_config(choice.size[0], true), choice);
        },
    .weight_file =
        [](const TeacherChoice& choice) {
          return "dinov2_vit" + choice.size + "14_reg4_pretrain.pth";
        },
    .origin = kDinov2Origin,
};

const TeacherFamily kDinov3 = {
    .prefix = "dinov3-vit-",
    .sizes = {"s", "splus", "b", "l", "lplus", "hplus", "7b"},
    .image_sizes = {256, 512, 1024},
    .depth = [](const TeacherChoice& choice) { return dinov3_config(choice.size).depth; },
    .make =
        [](const TeacherChoice& choice) {
          return build(dinov3_config(choice.size), choice, load_dinov3_weights);
        },
    .weight_file = [](const TeacherChoice& choice) { return dinov3_file(choice.size); },
    .origin =
        "the official DINOv3 release (ai.meta.com/resources/models-and-libraries/"
        "dinov3-downloads, after a request)",
};

const TeacherFamily kSiglip2 = {
    .prefix = "siglip2-vit-",
    .sizes = {"b", "l", "so400m"},
    .image_sizes = {256, 512},  // those of the published files
    .depth =
        [](const TeacherChoice& choice) { return siglip2_config(choice.size, choice.grid).depth; },
    .make =
        [](const TeacherChoice& choice) {
          return build(siglip2_config(choice.size, choice.grid), choice, load_siglip2_weights);
        },
    .weight_file = siglip2_file,
    .origin = "huggingface.co",
};

const TeacherFamily kClip = {
    .prefix = "clip-vit-",
    .sizes = {"L"},  // B/16 gives 14 x 14 features, which match no tokenizer
    .image_sizes = {256},
    .depth = [](const TeacherChoice&) { return ClipConfig().depth; },
    .make =
        [](const TeacherChoice& choice) { return build(ClipConfig(), choice, load_clip_weights); },
    .weight_file = [](const TeacherChoice&) { return std::string("ViT-L-14.pt"); },
    .origin = "the official CLIP release (github.com/openai/CLIP)",
};

const TeacherFamily kVjepa2 = {
    .prefix = "jepa21-vit-",
    .sizes = {"b", "l", "g", "G"},
    .image_sizes = {256, 512, 1024},
    .depth = [](const TeacherChoice& choice) { return vjepa2_config(choice.size[0]).depth; },
    .make =
        [](const TeacherChoice& choice) {
          return build(vjepa2_config(choice.size[0]), choice, load_vjepa2_weights);
        },
    .weight_file = [](const TeacherChoice& choice) { return vjepa2_file(choice.size); },
    .origin = "dl.fbaipublicfiles.com/vjepa2",
};

const TeacherFamily kCustom = {
    .prefix = "dinov2-custom",
    .sizes = {""},  // that of the keys custom_*
    .image_sizes = {},
    .depth = [](const TeacherChoice& choice) { return choice.config.custom_depth; },
    .make =
        [](const TeacherChoice& choice) {
          return build_dinov2(custom_shape(choice.config), choice);
        },
    .weight_file = [](const TeacherChoice&) { return std::string(); },
    .origin = "",
};

}  // namespace

const std::vector<TeacherFamily>& teacher_families() {
  static const std::vector<TeacherFamily> families = {kDinov2, kDinov2Registers, kDinov3, kSiglip2,
                                                      kClip,   kVjepa2,          kCustom};
  return families;
}

}  // namespace gear::models
