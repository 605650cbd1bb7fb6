#include "gear/core/error.h"
#include "gear/models/teachers/clip.h"
#include "models/teachers/encoder_files.h"
#include "models/teachers/hugging_face_names.h"

namespace gear::models {
namespace {

const std::string kTower = "visual.";  // in files of the whole model; the text stands beside

const HuggingFaceNames& hugging_face_names() {
  static const HuggingFaceNames names = {
      .outside = {{"vision_model.embeddings.class_embedding", "class_embedding"},
                  {"vision_model.embeddings.patch_embedding.weight", "conv1.weight"},
                  {"vision_model.embeddings.position_embedding.weight", "positional_embedding"},
                  {"vision_model.pre_layrnorm.", "ln_pre."},  // spelt like this in the files
                  {"vision_model.post_layernorm.", "ln_post."}},
      .blocks = "vision_model.encoder.layers.",
      .official_blocks = "transformer.resblocks.",
      .inside = {{"layer_norm1.", "ln_1."},
                 {"self_attn.out_proj.", "attn.out_proj."},
                 {"layer_norm2.", "ln_2."},
                 {"mlp.fc1.", "mlp.c_fc."},
                 {"mlp.fc2.", "mlp.c_proj."}},
      .qkv = {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."},
      .joined_qkv = "attn.in_proj_",
  };
  return names;
}

}  // namespace

io::TensorMap with_clip_names(const io::TensorMap& tensors) {
  if (tensors.contains("vision_model.embeddings.class_embedding")) {
    return official_names(tensors, hugging_face_names());
  }
  io::TensorMap tower;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(kTower)) tower[name.substr(kTower.size())] = tensor;
  }
  return tower.empty() ? tensors : tower;
}

void load_clip_weights(Clip& model, const std::filesystem::path& path) {
  const auto found = load_encoder_tensors(path, EncoderFamily::kClip);
  const auto tensors = with_context(path.string(), [&] { return with_clip_names(found); });
  // The features are taken before these two.
  assign_encoder_weights(model, tensors, path.string(), {.may_be_missing = {"ln_post.", "proj"}});
}

}  // namespace gear::models
