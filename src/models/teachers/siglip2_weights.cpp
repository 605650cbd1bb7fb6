#include <cmath>

#include "gear/core/error.h"
#include "gear/models/teachers/siglip2.h"
#include "models/teachers/encoder_files.h"

// n source grid side, D width

namespace gear::models {
namespace {

const std::string kTower = "vision_model.";  // in files of the whole model; the text stands beside
const std::string kPositions = "embeddings.position_embedding.weight";

/// The positions are learned for one picture size.
void expect_positions(const Tensor& table, const Siglip2Config& config) {
  const int64_t rows = table.dim() == 2 ? table.size(0) : 0;
  if (rows == config.grid * config.grid) return;
  const auto side = std::llround(std::sqrt(static_cast<double>(rows)));
  fail(kPositions, ": has ", rows, " rows, for pictures of ", side * config.patch,
       " pixels; expected ", config.grid * config.grid, " for ", config.grid * config.patch,
       "; get the file for this size, or set data.image_size to that of the file");
}

}  // namespace

void load_siglip2_weights(Siglip2& model, const std::filesystem::path& path) {
  const auto tensors = load_encoder_tensors(path, EncoderFamily::kSiglip2);
  const std::string prefix = tensors.contains(kTower + kPositions) ? kTower : "";
  with_context(path.string(),
               [&] { expect_positions(tensors.at(prefix + kPositions), model.config()); });
  assign_encoder_weights(model, tensors, path.string(), {.prefix = prefix});
}

}  // namespace gear::models
