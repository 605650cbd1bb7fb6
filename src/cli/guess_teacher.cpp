#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "cli/guess_network.h"
#include "cli/network_names.h"
#include "gear/models/teachers/clip.h"
#include "gear/models/teachers/dinov2.h"
#include "gear/models/teachers/dinov3.h"
#include "gear/models/teachers/siglip2.h"
#include "gear/models/teachers/vjepa2.h"

namespace gear::cli {
namespace {

struct EncoderShape {
  int64_t dim = 0;
  int64_t depth = 0;
  bool gated = false;  // SwiGLU feed-forward layers
  int64_t registers = 0;
};

template <class Config>
bool fits(const Config& config, const EncoderShape& shape) {
  return config.dim == shape.dim && config.depth == shape.depth;
}

// The published size of a shape, as in teacher.model; "" when there is none.

std::string dinov2_size(const EncoderShape& shape) {
  for (const char size : {'s', 'b', 'l', 'g'}) {
    if (fits(models::dinov2_config(size, false), shape)) return {size};
  }
  return "";
}

std::string dinov3_size(const EncoderShape& shape) {
  for (const char* size : {"s", "splus", "b", "l", "lplus", "hplus", "7b"}) {
    const models::Dinov3Config config = models::dinov3_config(size);
    const bool gated = config.feed_forward != models::FeedForwardKind::kGelu;
    if (fits(config, shape) && gated == shape.gated) return size;
  }
  return "";
}

std::string siglip2_size(const EncoderShape& shape) {
  for (const char* size : {"b", "l", "so400m"}) {
    if (fits(models::siglip2_config(size, /*grid=*/16), shape)) return size;
  }
  return "";
}

std::string clip_size(const EncoderShape& shape) {
  return fits(models::ClipConfig(), shape) ? "L" : "";
}

std::string vjepa2_size(const EncoderShape& shape) {
  for (const char size : {'b', 'l', 'g', 'G'}) {
    if (fits(models::vjepa2_config(size), shape)) return {size};
  }
  return "";
}

/// How a family is stored by its authors, or by Hugging Face.
struct EncoderFile {
  const char* title;    ///< of the family
  const char* prefix;   ///< of its names in teacher.model
  const char* telling;  ///< a tensor that only these files have
  const char* width;    ///< a tensor whose last dimension is the model's width
  size_t width_dimension;
  const char* blocks;
  const char* patches;    ///< weight of the convolution that cuts the patches
  const char* gate;       ///< there when the feed-forward layers are gated; "" when they never are
  const char* registers;  ///< "" when there are none
  std::string (*size)(const EncoderShape& shape);
  const char* source;  ///< "hub file", or the repository of Hugging Face with * for the size
};

// The first row that fits decides: CLIP's files from Hugging Face have every telling tensor of
// SigLIP too, and DINOv3's those of DINOv2.
constexpr std::array<EncoderFile, 9> kFiles = {{
    {"V-JEPA 2.1", "jepa21-vit-", "patch_embed_img.proj.weight", "img_mod_embed", 2, "blocks.",
     "patch_embed_img.proj.weight", "", "", vjepa2_size, "file"},
    {"DINOv3", "dinov3-vit-", "storage_tokens", "cls_token", 2, "blocks.",
     "patch_embed.proj.weight", "blocks.0.mlp.w1.weight", "storage_tokens", dinov3_size, "file"},
    {"DINOv3", "dinov3-vit-", "layer.0.attention.q_proj.weight", "embeddings.cls_token", 2,
     "layer.", "embeddings.patch_embeddings.weight", "layer.0.mlp.gate_proj.weight",
     "embeddings.register_tokens", dinov3_size, "facebook/dinov3-vit*16-pretrain-lvd1689m"},
    {"DINOv2", "dinov2-vit-", "embeddings.position_embeddings", "embeddings.cls_token", 2,
     "encoder.layer.", "embeddings.patch_embeddings.projection.weight", "",
     "embeddings.register_tokens", dinov2_size, "facebook/dinov2-*"},
    {"DINOv2", "dinov2-vit-", "patch_embed.proj.weight", "cls_token", 2, "blocks.",
     "patch_embed.proj.weight", "", "register_tokens", dinov2_size, "hub file"},
    {"CLIP", "clip-vit-", "vision_model.embeddings.class_embedding",
     "vision_model.embeddings.position_embedding.weight", 1, "vision_model.encoder.layers.",
     "vision_model.embeddings.patch_embedding.weight", "", "", clip_size,
     "openai/clip-vit-*-patch14"},
    {"CLIP", "clip-vit-", "visual.class_embedding", "visual.positional_embedding", 1,
     "visual.transformer.resblocks.", "visual.conv1.weight", "", "", clip_size, "file"},
    {"SigLIP 2", "siglip2-vit-", "vision_model.embeddings.position_embedding.weight",
     "vision_model.embeddings.position_embedding.weight", 1, "vision_model.encoder.layers.",
     "vision_model.embeddings.patch_embedding.weight", "", "", siglip2_size,
     "google/siglip2-*-patch16"},
    {"SigLIP 2", "siglip2-vit-", "embeddings.position_embedding.weight",
     "embeddings.position_embedding.weight", 1, "encoder.layers.",
     "embeddings.patch_embedding.weight", "", "", siglip2_size, "google/siglip2-*-patch16"},
}};

/// "splus" -> "S+", "b" -> "B"; g and G are two sizes, so they stay.
std::string shown_size(const std::string& size) {
  if (size == "g" || size == "G") return size;
  const bool plus = size.ends_with("plus");
  std::string text = plus ? size.substr(0, size.size() - 4) : size;
  for (char& letter : text) letter = static_cast<char>(std::toupper(letter));
  return plus ? text + "+" : text;
}

/// What Hugging Face calls the size in the repository of the family.
std::string repository_size(const EncoderFile& row, const EncoderShape& shape,
                            const std::string& size) {
  if (row.size == dinov3_size) return size;
  const std::string registers = shape.registers > 0 ? "with-registers-" : "";
  for (const auto& [letter, word] :
       {std::pair("s", "small"), std::pair("b", "base"), std::pair("l", "large"),
        std::pair("L", "large"), std::pair("g", "giant")}) {
    if (size == letter) return registers + word;
  }
  return registers + size;
}

/// "DINOv2 hub file ViT-B/14", "Hugging Face file in the style of facebook/dinov2-base"
std::string file_text(const EncoderFile& row, const EncoderShape& shape, const std::string& size,
                      int64_t patch) {
  const std::string source = row.source;
  const size_t star = source.find('*');
  if (star == std::string::npos) {
    return std::string(row.title) + " " + source + " ViT-" + shown_size(size) + "/" +
           std::to_string(patch) +
           (shape.registers > 0 && row.size == dinov2_size ? " with registers" : "");
  }
  return "Hugging Face file in the style of " + source.substr(0, star) +
         repository_size(row, shape, size) + source.substr(star + 1);
}

std::string encoder_text(const EncoderFile& row, const EncoderShape& shape, const std::string& size,
                         int64_t patch) {
  std::string text = row.title;
  if (!size.empty()) text += " ViT-" + shown_size(size) + "/" + std::to_string(patch);
  text += " vision transformer: dim " + size_or_unknown(shape.dim) + ", depth " +
          std::to_string(shape.depth) + ", patches of " + size_or_unknown(patch) + " pixels";
  if (shape.registers > 0) text += ", " + std::to_string(shape.registers) + " registers";
  return text;
}

/// A row of positions for each patch tells the size of picture that the file is for.
int64_t siglip2_picture(const NetworkNames& names, const EncoderFile& row, int64_t patch) {
  const auto rows = static_cast<double>(names.size(row.width, 0));
  return std::llround(std::sqrt(rows)) * patch;
}

NetworkGuess encoder_guess(const NetworkNames& names, const EncoderFile& row) {
  const EncoderShape shape{.dim = names.size(row.width, row.width_dimension),
                           .depth = names.count(row.blocks),
                           .gated = *row.gate != '\0' && names.has(row.gate),
                           .registers = *row.registers == '\0' ? 0 : names.size(row.registers, 1)};
  constexpr size_t kLastDimension = 3;
  const int64_t patch = names.size(row.patches, kLastDimension);
  const std::string size = row.size(shape);
  NetworkGuess guess{.text = encoder_text(row, shape, size, patch)};
  if (size.empty()) return guess;
  guess.file = file_text(row, shape, size, patch);
  const bool with_registers = row.size == dinov2_size && shape.registers > 0;
  guess.keys = {{"teacher.model", (with_registers ? "dinov2_reg-vit-" : row.prefix) + size}};
  if (row.size == siglip2_size) {
    guess.keys.emplace_back("data.image_size", std::to_string(siglip2_picture(names, row, patch)));
  }
  guess.path_key = "teacher.weights";
  return guess;
}

}  // namespace

OptionalGuess guess_teacher(const io::WeightPart& part) {
  NetworkNames names(part);
  for (const EncoderFile& row : kFiles) {
    if (names.choose(row.telling) && names.has(row.width) && names.has(row.patches)) {
      return encoder_guess(names, row);
    }
  }
  return std::nullopt;
}

}  // namespace gear::cli
