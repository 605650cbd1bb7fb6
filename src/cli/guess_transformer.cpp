#include <algorithm>
#include <array>

#include "cli/guess_network.h"
#include "cli/network_names.h"
#include "gear/core/text.h"
#include "gear/models/ar/ar_config.h"

namespace gear::cli {
namespace {

struct TransformerShape {
  int64_t dim = 0;
  int64_t depth = 0;
  int64_t hidden = 0;  // of the feed-forward layers
  int64_t codes = 0;
  int64_t class_rows = 0;
  int64_t text_layers = 0;  // with weights of their own for the text
};

constexpr const char* kClassTable = "cls_embedding.embedding_table.weight";
constexpr const char* kTextProjection = "cls_embedding.cap_proj.fc1.weight";

TransformerShape transformer_shape(const NetworkNames& names) {
  TransformerShape shape{.dim = names.size("tok_embeddings.weight", 1),
                         .depth = names.count("layers."),
                         .hidden = names.size("layers.0.feed_forward.w1.weight", 0),
                         .codes = names.size("tok_embeddings.weight", 0),
                         .class_rows = names.size(kClassTable, 0)};
  while (names.has("layers." + std::to_string(shape.text_layers) + ".attention.wqkv_text.weight")) {
    ++shape.text_layers;
  }
  return shape;
}

/// "B" of LlamaGen-B; "" when no published size has this shape.
std::string size_name(const TransformerShape& shape) {
  for (const char* size : {"S", "B", "L", "XL", "XXL", "XXXL"}) {
    const models::ArConfig config = models::ar_preset(size);
    if (config.dim == shape.dim && config.depth == shape.depth) return size;
  }
  constexpr int64_t kTextOnlyDim = 1440, kTextOnlyDepth = 36;  // published for text to image alone
  return shape.dim == kTextOnlyDim && shape.depth == kTextOnlyDepth ? "1B" : "";
}

std::string transformer_text(const TransformerShape& shape, const std::string& size,
                             int64_t caption_width) {
  std::string text = "LlamaGen" + (size.empty() ? "" : "-" + size) + " transformer: dim " +
                     size_or_unknown(shape.dim) + ", depth " + std::to_string(shape.depth) + ", " +
                     size_or_unknown(shape.codes) + " codes";
  if (shape.class_rows > 0) {
    text += ", class table of " + format_count(shape.class_rows) + " rows";
  }
  if (caption_width > 0) {
    text += ", text-conditional (captions of width " + format_count(caption_width) + ", " +
            std::to_string(shape.text_layers) + " double-stream layers)";
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> transformer_keys(const TransformerShape& shape,
                                                                  const std::string& size) {
  std::vector<std::pair<std::string, std::string>> keys = {
      {"ar.dim", std::to_string(shape.dim)},
      {"ar.depth", std::to_string(shape.depth)},
      {"tokenizer.quantizer.codebook_size", std::to_string(shape.codes)}};
  if (!size.empty() && size != "1B") {
    keys.emplace_back("ar.heads", std::to_string(models::ar_preset(size).heads));
  }
  if (shape.class_rows > 1) {  // the last row stands for no class
    keys.emplace_back("data.num_classes", std::to_string(shape.class_rows - 1));
  }
  return keys;
}

}  // namespace

OptionalGuess guess_transformer(const io::WeightPart& part) {
  NetworkNames names(part);
  if (!names.choose("tok_embeddings.weight")) return std::nullopt;
  const TransformerShape shape = transformer_shape(names);
  const std::string size = size_name(shape);
  NetworkGuess guess{.text = transformer_text(shape, size, names.size(kTextProjection, 1)),
                     .keys = transformer_keys(shape, size),
                     .path_key = "init.ar"};
  if (size.empty()) guess.untold = "ar.heads";
  return guess;
}

OptionalGuess guess_projector(const io::WeightPart& part) {
  NetworkNames names(part);
  if (!names.choose("projs.0.0.weight")) return std::nullopt;
  const int64_t teachers = names.count("projs.");
  std::vector<std::string> widths;
  for (int64_t i = 0; i < teachers; ++i) {
    widths.push_back(size_or_unknown(names.size("projs." + std::to_string(i) + ".4.weight", 0)));
  }
  const int64_t hidden = names.size("projs.0.0.weight", 0);
  return NetworkGuess{.text = "projector: from width " +
                              size_or_unknown(names.size("projs.0.0.weight", 1)) + " through " +
                              size_or_unknown(hidden) + " to " + join(widths, " and ") + ", " +
                              std::to_string(teachers) + (teachers == 1 ? " teacher" : " teachers"),
                      .keys = {{"loss.projector_dim", std::to_string(hidden)}},
                      .path_key = "init.projector"};
}

}  // namespace gear::cli
