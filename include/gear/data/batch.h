#pragma once

#include <cstdint>
#include <vector>

#include "gear/core/tensor.h"

namespace gear::data {

/// One micro-batch as the loader hands it out.
struct Batch {
  Tensor images;                    // uint8 [B, 3, S, S], RGB
  Tensor labels;                    // int64 [B]
  std::vector<int64_t> sample_ids;  // index of each sample in its source
};

}  // namespace gear::data
