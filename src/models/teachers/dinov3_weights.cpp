#include "gear/core/error.h"
#include "gear/models/teachers/dinov3.h"
#include "models/teachers/encoder_files.h"
#include "models/teachers/hugging_face_names.h"

namespace gear::models {
namespace {

/// `gated`: whether the feed-forward layer is a SwiGLU; up_proj and down_proj serve both kinds.
HuggingFaceNames hugging_face_names(bool gated) {
  return {
      // The mask token has another shape there, and no use here.
      .outside = {{"embeddings.cls_token", "cls_token"},
                  {"embeddings.register_tokens", "storage_tokens"},
                  {"embeddings.patch_embeddings.", "patch_embed.proj."},
                  {"norm.", "norm."}},
      .blocks = "layer.",
      .official_blocks = "blocks.",
      .inside = {{"norm1.", "norm1."},
                 {"attention.o_proj.", "attn.proj."},
                 {"layer_scale1.lambda1", "ls1.gamma"},
                 {"norm2.", "norm2."},
                 {"mlp.gate_proj.", "mlp.w1."},
                 {"mlp.up_proj.", gated ? "mlp.w2." : "mlp.fc1."},
                 {"mlp.down_proj.", gated ? "mlp.w3." : "mlp.fc2."},
                 {"layer_scale2.lambda1", "ls2.gamma"}},
      .qkv = {"attention.q_proj.", "attention.k_proj.", "attention.v_proj."},
      .joined_qkv = "attn.qkv.",
      .key_has_bias = false,
  };
}

}  // namespace

io::TensorMap with_dinov3_names(const io::TensorMap& tensors) {
  if (!tensors.contains("embeddings.cls_token")) return tensors;
  const bool gated = tensors.contains("layer.0.mlp.gate_proj.weight");
  return official_names(tensors, hugging_face_names(gated));
}

void load_dinov3_weights(Dinov3& model, const std::filesystem::path& path) {
  const auto found = load_encoder_tensors(path, EncoderFamily::kDinov3);
  const auto tensors = with_context(path.string(), [&] { return with_dinov3_names(found); });
  // What served pre-training alone; exports leave it out.
  assign_encoder_weights(model, tensors, path.string(),
                         {.may_be_missing = {"mask_token", "local_cls_norm."}});
}

}  // namespace gear::models
