#pragma once

#include <cstdint>
#include <vector>

#include "gear/core/tensor.h"

namespace gear::data {

/// One micro-batch as a loader hands it out: pictures, or the tokens they were encoded to.
struct Batch {
  Tensor images;                    // uint8 [B, 3, S, S], RGB; undefined where there are tokens
  Tensor labels;                    // int64 [B]
  std::vector<int64_t> sample_ids;  // index of each sample in its source
  Tensor tokens{};                  // int64 [B, N]; undefined where there are pictures
};

}  // namespace gear::data
