#include "ops/cpu/weight_layout.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>

#include "gear/core/large_pages.h"
#include "ops/cpu/panels.h"

// N outputs, K inputs, P panels

namespace gear::ops::cpu {

Tensor arranged(const Tensor& values) {
  const int64_t inputs = values.size(1);
  const int64_t outputs = divide_up(values.size(0), kSlabOutputs) * kSlabOutputs;
  const auto padded = at::constant_pad_nd(values, {0, 0, 0, outputs - values.size(0)});
  if (values.scalar_type() == at::kFloat) {
    return padded.view({-1, 2 * kLanes, inputs}).transpose(1, 2).contiguous();  // [P, K, 16]
  }
  if (values.scalar_type() == at::kBFloat16) {
    return padded.view({-1, 2, kLanes, inputs}).permute({0, 3, 2, 1}).contiguous();  // [P, K, 8, 2]
  }
  const auto quarters = padded.view({-1, 4, kLanes, inputs}).unbind(1);  // 4 times [P, 8, K]
  auto words = quarters[3].to(at::kInt);
  for (size_t q = 3; q-- > 0;) words = words * 256 + quarters[q];
  return words.transpose(1, 2).contiguous();  // [P, K, 8]
}

void place_together(const std::vector<StoredWeight*>& weights) {
  constexpr int64_t kAlignment = 64;  // of the kernels' vectors, and of cache lines
  const auto size = [](const StoredWeight* weight) {
    return divide_up(static_cast<int64_t>(weight->values.nbytes()), kAlignment) * kAlignment;
  };
  int64_t total = 0;
  for (const StoredWeight* weight : weights) total += size(weight);
  const auto memory = at::empty({total}, at::kByte);
  prefer_large_pages(memory.data_ptr(),
                     memory.nbytes());  // before anything is written: pages are given out then
  int64_t offset = 0;
  for (StoredWeight* weight : weights) {
    const auto place = memory.narrow(0, offset, static_cast<int64_t>(weight->values.nbytes()));
    const auto values = place.view(weight->values.scalar_type()).view(weight->values.sizes());
    values.copy_(weight->values);
    offset += size(weight);
    weight->values = values;
  }
}

}  // namespace gear::ops::cpu
