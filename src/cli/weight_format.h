#pragma once

#include <algorithm>
#include <string>

#include "gear/core/error.h"
#include "gear/ops/few_row_linear.h"

namespace gear::cli {

/// What --weights names. Throws Error for any other name.
inline ops::WeightFormat weight_format(const std::string& name) {
  const auto& names = ops::kWeightFormatNames;
  const auto* found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) fail("--weights: expected fp32, bf16 or int8, got ", name);
  return static_cast<ops::WeightFormat>(found - names.begin());
}

}  // namespace gear::cli
