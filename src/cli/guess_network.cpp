#include <algorithm>
#include <array>
#include <charconv>

#include "cli/tensor_list.h"
#include "gear/core/text.h"

namespace gear::cli {
namespace {

/// Looks for one network below the prefix at which its telling tensor stands ("" in plain files,
/// "module." or "model." in others).
class Names {
 public:
  explicit Names(const TensorList& list) : list_(list) {}

  /// Finds the tensor whose name is a prefix plus `telling`; the prefix then holds for the rest.
  bool choose(const std::string& telling) {
    for (const TensorEntry& entry : list_.entries) {
      const size_t cut = entry.name.size() - std::min(entry.name.size(), telling.size());
      if (!entry.name.ends_with(telling) || (cut > 0 && entry.name[cut - 1] != '.')) continue;
      prefix_ = entry.name.substr(0, cut);
      return true;
    }
    return false;
  }

  bool has(const std::string& name) const { return find(name) != nullptr; }

  /// "768", or "?" when there is no such tensor or dimension.
  std::string size(const std::string& name, size_t dimension) const {
    const TensorEntry* entry = find(name);
    if (entry == nullptr || dimension >= entry->shape.size()) return "?";
    return format_count(entry->shape[dimension]);
  }

  /// Number of modules `stem`0, `stem`1, ... ("layers." for layers.0.norm.weight).
  int64_t count(const std::string& stem) const {
    int64_t most = -1;
    for (const TensorEntry& entry : list_.entries) {
      if (!entry.name.starts_with(prefix_ + stem)) continue;
      const char* begin = entry.name.data() + prefix_.size() + stem.size();
      int64_t index = -1;
      std::from_chars(begin, entry.name.data() + entry.name.size(), index);
      most = std::max(most, index);
    }
    return most + 1;
  }

 private:
  const TensorEntry* find(const std::string& name) const {
    for (const TensorEntry& entry : list_.entries) {
      if (entry.name == prefix_ + name) return &entry;
    }
    return nullptr;
  }

  const TensorList& list_;
  std::string prefix_;
};

std::string optimizer(const TensorList& list) {
  const auto moments =
      std::count_if(list.entries.begin(), list.entries.end(), [](const TensorEntry& entry) {
        return entry.name.starts_with("exp_avg.") || entry.name.ends_with("/exp_avg");
      });
  return moments == 0 ? "" : "Adam moments of " + format_count(moments) + " parameters";
}

std::string downsampling(int64_t halvings) {
  return ", downsampling " + std::to_string(int64_t{1} << std::clamp<int64_t>(halvings, 0, 62));
}

/// With a table of codes: vector quantisation, SimVQ or IBQ.
std::string codebook_tokenizer(const TensorList& list) {
  Names names(list);
  if (!names.choose("quantize.embedding.weight") || !names.has("encoder.conv_in.weight")) return "";
  const bool ibq = names.has("encoder.down.0.block.0.conv1.weight");
  const bool simvq = names.has("quantize.embedding_proj.weight");
  const std::string family = ibq ? "IBQ" : simvq ? "SimVQ" : "VQ";
  return family + " tokenizer: " + names.size("quantize.embedding.weight", 0) + " codes of width " +
         names.size("quantize.embedding.weight", 1) + ", base width " +
         names.size("encoder.conv_in.weight", 0) +
         downsampling(names.count(ibq ? "encoder.down." : "encoder.conv_blocks.") - 1);
}

std::string lookup_free_tokenizer(const TensorList& list) {
  Names names(list);
  if (!names.choose("decoder.adaptive.0.gamma.weight")) return "";
  int64_t halvings = 0;
  while (names.has("encoder.down." + std::to_string(halvings) + ".downsample.weight")) ++halvings;
  return "LFQ tokenizer: " + names.size("encoder.conv_out.weight", 0) +
         " bits a token, base width " + names.size("encoder.conv_in.weight", 0) +
         downsampling(halvings);
}

std::string transformer(const TensorList& list) {
  Names names(list);
  if (!names.choose("tok_embeddings.weight")) return "";
  std::string text = "LlamaGen transformer: dim " + names.size("tok_embeddings.weight", 1) +
                     ", depth " + std::to_string(names.count("layers.")) + ", " +
                     names.size("tok_embeddings.weight", 0) + " codes";
  const std::string classes = "cls_embedding.embedding_table.weight";
  if (names.has(classes)) text += ", class table of " + names.size(classes, 0) + " rows";
  if (names.has("cls_embedding.cap_proj.fc1.weight")) text += ", text-conditional";
  return text;
}

std::string teacher(const TensorList& list) {
  Names names(list);
  if (!names.choose("patch_embed.proj.weight") || !names.has("cls_token")) return "";
  const std::string family = names.has("storage_tokens") ? "DINOv3" : "DINOv2";
  return family + " vision transformer: dim " + names.size("patch_embed.proj.weight", 0) +
         ", depth " + std::to_string(names.count("blocks.")) + ", patches of " +
         names.size("patch_embed.proj.weight", 2) + " pixels" +
         (names.has("register_tokens") ? ", " + names.size("register_tokens", 1) + " registers"
                                       : "");
}

std::string perceptual(const TensorList& list) {
  Names names(list);
  if (!names.choose("lin0.model.1.weight")) return "";
  return names.has("net.slice1.0.weight") ? "LPIPS: VGG-16 and linear weights"
                                          : "LPIPS: linear weights alone";
}

std::string vgg(const TensorList& list) {
  Names names(list);
  if (!names.choose("features.0.weight") || names.count("features.") != 29) return "";
  return "VGG-16";
}

std::string projector(const TensorList& list) {
  Names names(list);
  if (!names.choose("projs.0.0.weight")) return "";
  const int64_t teachers = names.count("projs.");
  return "projector: from width " + names.size("projs.0.0.weight", 1) + " through " +
         names.size("projs.0.0.weight", 0) + " to " + names.size("projs.0.4.weight", 0) + ", " +
         std::to_string(teachers) + (teachers == 1 ? " teacher" : " teachers");
}

std::string discriminator(const TensorList& list) {
  Names names(list);
  if (!names.choose("main.0.weight")) return "";
  const auto first = std::find_if(list.entries.begin(), list.entries.end(), [](const auto& entry) {
    return entry.name.ends_with("main.0.weight");
  });
  if (first->shape.size() != 4 || first->shape[1] != 3) return "";
  return "PatchGAN discriminator: base width " + names.size("main.0.weight", 0);
}

}  // namespace

std::string guess_network(const TensorList& list) {
  using Guess = std::string (*)(const TensorList&);
  constexpr std::array<Guess, 9> kGuesses = {
      optimizer, codebook_tokenizer, lookup_free_tokenizer, transformer, teacher, perceptual,
      vgg,       projector,          discriminator};
  for (const Guess guess : kGuesses) {
    const std::string text = guess(list);
    if (!text.empty()) return text;
  }
  return "unknown network";
}

}  // namespace gear::cli
