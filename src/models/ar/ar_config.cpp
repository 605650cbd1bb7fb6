#include "gear/models/ar/ar_config.h"

#include <algorithm>

#include "gear/core/error.h"

namespace gear::models {

int64_t ArConfig::double_stream_blocks() const {
  if (!text) return 0;
  const int64_t blocks = text->double_stream_blocks;
  if (blocks < -1 || blocks > depth) {
    fail("double-stream blocks of the transformer: must be between 0 and its depth ", depth,
         ", or -1 for a third of it, got ", blocks);
  }
  return blocks >= 0 ? blocks : std::max<int64_t>(1, (depth + 1) / 3);  // depth / 3, rounded
}

ArConfig ar_preset(const std::string& size) {
  struct Preset {
    const char* size;
    int64_t dim, depth, heads;
  };
  static constexpr std::array<Preset, 7> kPresets = {{{"S", 384, 12, 12},
                                                      {"B", 768, 12, 12},
                                                      {"L", 1024, 24, 16},
                                                      {"XL", 1280, 36, 20},
                                                      {"1B", 1440, 36, 20},
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
  fail("size of the transformer: must be one of S, B, L, XL, 1B, XXL, XXXL, got ", size);
}

}  // namespace gear::models
