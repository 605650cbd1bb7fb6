#pragma once

#include <filesystem>

#include "gear/core/tensor.h"
#include "gear/data/data_config.h"

namespace gear::data {

/// One picture as validation sees it: decoded as `config` says, short side scaled to
/// `config.image_size` by `config.val_filter`, centre-cropped. Returns uint8 [3, S, S]. Throws
/// Error naming `file` when it cannot be read.
Tensor read_held_out(const std::filesystem::path& file, const DataConfig& config);

}  // namespace gear::data
