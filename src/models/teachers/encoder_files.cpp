#include "models/teachers/encoder_files.h"

#include <array>

#include "gear/core/error.h"

namespace gear::models {
namespace {

/// How the files of a family are told from others.
struct FamilyFiles {
  EncoderFamily family;
  const char* name;
  std::array<const char*, 3> telling;  ///< a file with one of these tensors is of this family
  const char* model;                   ///< for example, as a value of teacher.model
  const char* file;                    ///< for example
};

// The first row that fits decides: a file of CLIP from Hugging Face has every telling tensor of
// SigLIP too.
constexpr std::array kFiles = {
    FamilyFiles{EncoderFamily::kVjepa2,
                "V-JEPA 2.1",
                {"patch_embed_img.proj.weight", "backbone.patch_embed_img.proj.weight", ""},
                "jepa21-vit-b",
                "vjepa2_1_vitb_dist_vitG_384.pt"},
    FamilyFiles{EncoderFamily::kDinov3,
                "DINOv3",
                {"storage_tokens", "rope_embed.periods", "layer.0.attention.q_proj.weight"},
                "dinov3-vit-b",
                "dinov3_vitb16_pretrain_lvd1689m-<hash>.pth"},
    FamilyFiles{EncoderFamily::kDinov2,
                "DINOv2",
                {"pos_embed", "embeddings.position_embeddings", ""},
                "dinov2-vit-b",
                "dinov2_vitb14_pretrain.pth"},
    FamilyFiles{
        EncoderFamily::kClip,
        "CLIP",
        {"visual.class_embedding", "class_embedding", "vision_model.embeddings.class_embedding"},
        "clip-vit-L",
        "ViT-L-14.pt"},
    FamilyFiles{EncoderFamily::kSiglip2,
                "SigLIP 2",
                {"vision_model.embeddings.position_embedding.weight",
                 "embeddings.position_embedding.weight", ""},
                "siglip2-vit-b",
                "model.safetensors of google/siglip2-base-patch16-256"},
};

const FamilyFiles& files_of(EncoderFamily family) {
  for (const FamilyFiles& row : kFiles) {
    if (row.family == family) return row;
  }
  fail("files_of: unhandled family ", static_cast<int>(family));
}

/// The tensor by which the file is recognised; "" when it has none.
std::string telling_tensor(const io::TensorMap& tensors, const FamilyFiles& row) {
  for (const char* name : row.telling) {
    if (tensors.contains(name)) return name;
  }
  return "";
}

void expect_family(const io::TensorMap& tensors, EncoderFamily family) {
  const FamilyFiles& expected = files_of(family);
  for (const FamilyFiles& row : kFiles) {
    const std::string telling = telling_tensor(tensors, row);
    if (telling.empty()) continue;
    if (row.family == family) return;
    fail("holds a ", row.name, " encoder (it has ", telling, "), expected ", expected.name,
         "; set teacher.model to that family, for example ", row.model,
         ", or teacher.weights to a file such as ", expected.file);
  }
  fail("lacks ", expected.telling[0], ", so it is no file of a ", expected.name,
       " encoder; set teacher.weights to one, such as ", expected.file);
}

}  // namespace

io::TensorMap load_encoder_tensors(const std::filesystem::path& path, EncoderFamily family,
                                   const io::LoadOptions& options) {
  auto tensors = io::load_tensors(path, options);
  with_context(path.string(), [&] { expect_family(tensors, family); });
  return tensors;
}

void assign_encoder_weights(torch::nn::Module& model, const io::TensorMap& tensors,
                            const std::string& path, const io::AssignOptions& options) {
  try {
    io::assign_weights(model, tensors, path, options);
  } catch (const Error& error) {
    fail(error.what(), "; teacher.model and teacher.weights must be of the same size");
  }
}

}  // namespace gear::models
