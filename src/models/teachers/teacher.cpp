#include "gear/models/teachers/teacher.h"

#include <functional>
#include <string_view>

#include "gear/models/teachers/dinov2.h"

namespace gear::models {
namespace {

constexpr std::string_view kCustom = "dinov2-custom";
constexpr std::string_view kPlainPrefix = "dinov2-vit-";
constexpr std::string_view kRegisterPrefix = "dinov2_reg-vit-";
constexpr std::string_view kSizes = "sblg";

/// Names the place of a key at the start of a message.
using Place = std::function<std::string(const char* key)>;

Dinov2Config custom_config(const TeacherConfig& config, const Place& place) {
  if (config.custom_dim % config.custom_heads != 0) {
    fail(place("custom_heads"), "must divide custom_dim (", config.custom_dim, "), got ",
         config.custom_heads);
  }
  Dinov2Config shape;
  shape.dim = config.custom_dim;
  shape.depth = config.custom_depth;
  shape.heads = config.custom_heads;
  shape.hidden = 4 * config.custom_dim;
  return shape;
}

/// The letter of "dinov2-vit-b" and "dinov2_reg-vit-b", or 0 for any other name.
char published_size(const std::string& model) {
  for (const auto prefix : {kPlainPrefix, kRegisterPrefix}) {
    if (model.starts_with(prefix) && model.size() == prefix.size() + 1 &&
        kSizes.find(model.back()) != std::string_view::npos) {
      return model.back();
    }
  }
  return 0;
}

bool has_registers(const TeacherConfig& config) {
  return config.model.starts_with(kRegisterPrefix);
}

/// The encoder that `config` describes; every rule of the configuration is checked here.
Dinov2Config encoder_config(const TeacherConfig& config, const Place& place) {
  Dinov2Config shape;
  if (config.model == kCustom) {
    shape = custom_config(config, place);
  } else if (const char size = published_size(config.model)) {
    shape = dinov2_config(size, has_registers(config));
  } else {
    fail(place("model"),
         "must be dinov2-vit-{s,b,l,g}, dinov2_reg-vit-{s,b,l,g} or dinov2-custom, got ",
         config.model);
  }
  if (config.layer == 0 || config.layer > shape.depth) {
    fail(place("layer"), "must be -1 or a block from 1 to ", shape.depth, ", got ", config.layer);
  }
  shape.layer = config.layer;
  return shape;
}

}  // namespace

void TeacherConfig::check(const config::Where& at) const {
  encoder_config(*this, [&](const char* key) { return at(key); });
}

std::shared_ptr<Teacher> make_teacher(const TeacherConfig& config, int64_t grid) {
  auto shape =
      encoder_config(config, [](const char* key) { return std::string("teacher.") + key + ": "; });
  shape.grid = grid;
  auto teacher = std::make_shared<Dinov2>(shape);
  if (config.weights.empty()) {
    teacher->initialize_randomly();
  } else {
    load_dinov2_weights(*teacher, config.weights);
  }
  teacher->eval();
  for (auto& parameter : teacher->parameters()) parameter.set_requires_grad(false);
  return teacher;
}

std::string missing_weights_notice(const TeacherConfig& config) {
  if (!config.weights.empty()) return "";
  const std::string start = "teacher.weights is empty, so the teacher " + config.model +
                            " has random weights and its features mean nothing; ";
  const char size = published_size(config.model);
  if (size == 0) {
    return start +
           "that serves tests and first runs; for results set teacher.model to dinov2-vit-b and "
           "teacher.weights to the path of dinov2_vitb14_pretrain.pth from the official DINOv2 "
           "release (github.com/facebookresearch/dinov2)";
  }
  const std::string file = std::string("dinov2_vit") + size + "14" +
                           (has_registers(config) ? "_reg4" : "") + "_pretrain.pth";
  return start + "download " + file +
         " from the official DINOv2 release (github.com/facebookresearch/dinov2) and set "
         "teacher.weights to its path";
}

}  // namespace gear::models
