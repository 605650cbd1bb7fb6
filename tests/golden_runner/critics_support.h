#pragma once

#include <nlohmann/json.hpp>

#include "gear/models/critics/lpips.h"
#include "gear/models/critics/patch_gan.h"

namespace gear::golden {

/// From `ndf`, `n_layers` and `norm_type`, each optional.
models::PatchGanConfig patch_gan_config_from(const nlohmann::json& config);

/// The published widths divided by `channel_divisor`, optional.
models::LpipsConfig lpips_config_from(const nlohmann::json& config);

}  // namespace gear::golden
