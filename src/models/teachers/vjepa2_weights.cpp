#include "gear/io/weights.h"
#include "gear/models/teachers/vjepa2.h"
#include "models/teachers/encoder_files.h"

namespace gear::models {
namespace {

const std::string kWrapper = "backbone.";

/// The averaged encoder, where the file has one.
io::LoadOptions encoder_sections() {
  return {.sections = {"ema_encoder", "target_encoder", "encoder"}};
}

io::TensorMap without_wrapper(const io::TensorMap& tensors) {
  io::TensorMap plain;
  for (const auto& [name, tensor] : tensors) {
    plain[name.starts_with(kWrapper) ? name.substr(kWrapper.size()) : name] = tensor;
  }
  return plain;
}

}  // namespace

void load_vjepa2_weights(Vjepa2& model, const std::filesystem::path& path) {
  const auto found = load_encoder_tensors(path, EncoderFamily::kVjepa2, encoder_sections());
  assign_encoder_weights(model, without_wrapper(found), path.string());
}

}  // namespace gear::models
