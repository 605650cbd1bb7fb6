#include <ATen/ops/cat.h>

#include <array>
#include <cmath>
#include <utility>

#include "gear/core/error.h"
#include "gear/models/teachers/dinov2.h"
#include "gear/models/teachers/positions.h"

// n source grid side, D width

namespace gear::models {
namespace {

using Renaming = std::pair<const char*, const char*>;

// Hugging Face's name (or its beginning) -> the hub file's.
constexpr std::array<Renaming, 6> kTopNames = {{
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.mask_token", "mask_token"},
    {"embeddings.register_tokens", "register_tokens"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection.", "patch_embed.proj."},
    {"layernorm.", "norm."},
}};

// The same below "encoder.layer.{i}." and "blocks.{i}.".
constexpr std::array<Renaming, 9> kBlockNames = {{
    {"norm1.", "norm1."},
    {"attention.output.dense.", "attn.proj."},
    {"layer_scale1.lambda1", "ls1.gamma"},
    {"norm2.", "norm2."},
    {"mlp.fc1.", "mlp.fc1."},
    {"mlp.fc2.", "mlp.fc2."},
    {"mlp.weights_in.", "mlp.w12."},
    {"mlp.weights_out.", "mlp.w3."},
    {"layer_scale2.lambda1", "ls2.gamma"},
}};

const std::string kQueryPrefix = "attention.attention.query.";
const std::string kHuggingFaceBlock = "encoder.layer.";

/// `name` with its beginning replaced by the first entry that fits; "" when none does.
template <size_t count>
std::string renamed(const std::string& name, const std::array<Renaming, count>& table) {
  for (const auto& [from, to] : table) {
    if (name.starts_with(from)) return to + name.substr(std::string_view(from).size());
  }
  return "";
}

/// Rows of q, k and v in the order of the fused projection: three [D, ...] -> [3 D, ...].
Tensor joined_qkv(const io::TensorMap& tensors, const std::string& block,
                  const std::string& suffix) {
  std::vector<Tensor> parts;
  for (const char* part : {"query.", "key.", "value."}) {
    const std::string name = block + "attention.attention." + part + suffix;
    const auto found = tensors.find(name);
    if (found == tensors.end()) fail("lacks ", name);
    parts.push_back(found->second);
  }
  return at::cat(parts, 0);
}

/// Adds one tensor of a block. `block` is "encoder.layer.{i}.", `inner` what follows it.
void add_block_tensor(io::TensorMap& hub, const io::TensorMap& tensors, const std::string& block,
                      const std::string& inner) {
  const std::string index = block.substr(kHuggingFaceBlock.size());  // "{i}."
  if (inner.starts_with(kQueryPrefix)) {                             // key and value come along
    const std::string suffix = inner.substr(kQueryPrefix.size());
    hub["blocks." + index + "attn.qkv." + suffix] = joined_qkv(tensors, block, suffix);
    return;
  }
  const std::string name = renamed(inner, kBlockNames);
  if (!name.empty()) hub["blocks." + index + name] = tensors.at(block + inner);
}

void expect_square_positions(const io::TensorMap& tensors) {
  const auto found = tensors.find("pos_embed");
  if (found == tensors.end()) fail("lacks pos_embed; this is no file of a DINOv2 encoder");
  const auto& table = found->second;
  const int64_t cells = table.dim() == 3 ? table.size(1) - 1 : -1;
  const auto side = cells < 1 ? 0 : std::llround(std::sqrt(static_cast<double>(cells)));
  if (cells < 1 || table.size(0) != 1 || side * side != cells) {
    fail("pos_embed: expected [1, 1 + n * n, D], got ", sizes_string(table.sizes()));
  }
}

}  // namespace

io::TensorMap with_hub_names(const io::TensorMap& tensors) {
  if (!tensors.contains("embeddings.cls_token")) return tensors;
  io::TensorMap hub;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(kHuggingFaceBlock)) {
      const size_t dot = name.find('.', kHuggingFaceBlock.size());
      if (dot == std::string::npos) continue;
      add_block_tensor(hub, tensors, name.substr(0, dot + 1), name.substr(dot + 1));
    } else if (const std::string top = renamed(name, kTopNames); !top.empty()) {
      hub[top] = tensor;
    }
  }
  return hub;
}

void load_dinov2_weights(Dinov2& model, const std::filesystem::path& path) {
  auto tensors = with_context(path.string(), [&] {
    auto hub = with_hub_names(io::load_tensors(path));
    expect_square_positions(hub);
    if (hub.contains("register_tokens") && !model.register_tokens.defined()) {
      fail(
          "holds an encoder with register tokens; name it as dinov2_reg, for example "
          "dinov2_reg-vit-b");
    }
    return hub;
  });
  auto& positions = tensors["pos_embed"];
  positions = resample_positions(positions.to(at::kFloat), model.config().grid);
  // The mask token served pre-training; not every export has it.
  io::assign_weights(model, tensors, path.string(),
                     {.prefix = "", .may_be_missing = {"mask_token"}});
}

}  // namespace gear::models
