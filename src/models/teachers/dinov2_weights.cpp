#include <cmath>

#include "gear/core/error.h"
#include "gear/models/teachers/dinov2.h"
#include "models/teachers/encoder_files.h"
#include "models/teachers/hugging_face_names.h"

// n source grid side, D width

namespace gear::models {
namespace {

const HuggingFaceNames& hugging_face_names() {
  static const HuggingFaceNames names = {
      .outside = {{"embeddings.cls_token", "cls_token"},
                  {"embeddings.mask_token", "mask_token"},
                  {"embeddings.register_tokens", "register_tokens"},
                  {"embeddings.position_embeddings", "pos_embed"},
                  {"embeddings.patch_embeddings.projection.", "patch_embed.proj."},
                  {"layernorm.", "norm."}},
      .blocks = "encoder.layer.",
      .official_blocks = "blocks.",
      .inside = {{"norm1.", "norm1."},
                 {"attention.output.dense.", "attn.proj."},
                 {"layer_scale1.lambda1", "ls1.gamma"},
                 {"norm2.", "norm2."},
                 {"mlp.fc1.", "mlp.fc1."},
                 {"mlp.fc2.", "mlp.fc2."},
                 {"mlp.weights_in.", "mlp.w12."},
                 {"mlp.weights_out.", "mlp.w3."},
                 {"layer_scale2.lambda1", "ls2.gamma"}},
      .qkv = {"attention.attention.query.", "attention.attention.key.",
              "attention.attention.value."},
      .joined_qkv = "attn.qkv.",
  };
  return names;
}

void expect_square_positions(const Tensor& table) {
  const int64_t cells = table.dim() == 3 ? table.size(1) - 1 : -1;
  const auto side = cells < 1 ? 0 : std::llround(std::sqrt(static_cast<double>(cells)));
  if (cells < 1 || table.size(0) != 1 || side * side != cells || table.size(2) < 1) {
    fail("pos_embed: expected [1, 1 + n * n, D], got ", sizes_string(table.sizes()), kDamagedFile);
  }
}

/// Throws Error when the tensors, by their hub names, are of an encoder that `model` is not.
void expect_positions_and_registers(const io::TensorMap& hub, const Dinov2& model) {
  const auto positions = hub.find("pos_embed");
  if (positions == hub.end()) fail("lacks embeddings.position_embeddings", kDamagedFile);
  expect_square_positions(positions->second);
  if (hub.contains("register_tokens") && !model.register_tokens.defined()) {
    fail(
        "holds an encoder with register tokens; name it as dinov2_reg, for example "
        "dinov2_reg-vit-b");
  }
}

}  // namespace

io::TensorMap with_hub_names(const io::TensorMap& tensors) {
  if (!tensors.contains("embeddings.cls_token")) return tensors;
  return official_names(tensors, hugging_face_names());
}

void load_dinov2_weights(Dinov2& model, const std::filesystem::path& path) {
  const auto found = load_encoder_tensors(path, EncoderFamily::kDinov2);
  auto tensors = with_context(path.string(), [&] {
    auto hub = with_hub_names(found);
    expect_positions_and_registers(hub, model);
    return hub;
  });
  auto& positions = tensors.at("pos_embed");
  positions = resample_positions(positions.to(at::kFloat), model.config().grid);
  // The mask token served pre-training; not every export has it.
  assign_encoder_weights(model, tensors, path.string(), {.may_be_missing = {"mask_token"}});
}

}  // namespace gear::models
