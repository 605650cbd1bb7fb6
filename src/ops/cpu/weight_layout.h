#pragma once

#include <cstdint>
#include <vector>

#include "gear/ops/few_row_linear.h"

// N outputs, K inputs, P panels

namespace gear::ops::cpu {

inline int64_t divide_up(int64_t count, int64_t by) { return (count + by - 1) / by; }

/// [N, K] float32, bfloat16 or int8 -> [P, ...] as in panels.h, filled up with zeros to whole
/// slabs.
Tensor arranged(const Tensor& values);

/// As ops::lay_out.
void place_together(const std::vector<StoredWeight*>& weights);

}  // namespace gear::ops::cpu
