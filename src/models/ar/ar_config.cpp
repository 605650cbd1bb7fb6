#include "gear/models/ar/ar_config.h"

#include "gear/core/error.h"

namespace gear::models {

ArConfig ar_preset(const std::string& size) {
  struct Preset {
    const char* size;
    int64_t dim, depth, heads;
  };
  static constexpr std::array<Preset, 6> kPresets = {{{"S", 384, 12, 12},
                                                      {"B", 768, 12, 12},
                                                      {"L", 1024, 24, 16},
                                                      {"XL", 1280, 36, 20},
                                                      {"XXL", 1536, 48, 24},
                                                      {"XXXL", 2560, 48, 40}}};
  for (const Preset& preset : kPresets) {
    if (size != preset.size) continue;
    ArConfig config;
    config.dim = preset.dim;
    config.depth = preset.depth;
    config.heads = preset.heads;
    return config;
  }
  fail("size of the transformer: must be one of S, B, L, XL, XXL, XXXL, got ", size);
}

}  // namespace gear::models
