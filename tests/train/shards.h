#pragma once

#include <ATen/ops/zeros_like.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <vector>

#include "gear/train/state.h"

/// Groups of whole tensors, cut into the pieces that ranks hold.
namespace gear::train::testing {

/// Rank `rank` of `ranks`: all tensors of the group laid behind one another and cut into equal
/// parts. Those whose names are in `whole` stay whole.
inline TensorGroup pieces_of(const TensorGroup& group, int64_t rank, int64_t ranks,
                             const std::vector<std::string>& whole = {}) {
  int64_t total = 0;
  for (const auto& [name, tensor] : group.tensors) total += tensor.numel();
  const int64_t from = total * rank / ranks;
  const int64_t to = total * (rank + 1) / ranks;

  TensorGroup pieces{group.name, {}};
  int64_t begin = 0;
  for (const auto& [name, tensor] : group.tensors) {
    const int64_t end = begin + tensor.numel();
    const int64_t first = std::clamp(from, begin, end);
    const int64_t last = std::clamp(to, first, end);
    if (std::find(whole.begin(), whole.end(), name) != whole.end()) {
      pieces.tensors.emplace_back(name, tensor.clone());
    } else {
      pieces.tensors.emplace_back(
          name, tensor.reshape(-1).narrow(0, first - begin, last - first).clone());
      pieces.shards[name] = {.shape = tensor.sizes().vec(), .offset = first - begin};
    }
    begin = end;
  }
  return pieces;
}

inline TensorGroup zeroed(TensorGroup group) {
  for (auto& [name, tensor] : group.tensors) tensor = at::zeros_like(tensor);
  return group;
}

inline bool same_values(const TensorGroup& a, const TensorGroup& b) {
  return std::equal(a.tensors.begin(), a.tensors.end(), b.tensors.begin(), b.tensors.end(),
                    [](const auto& one, const auto& other) {
                      return one.first == other.first && one.second.equal(other.second);
                    });
}

}  // namespace gear::train::testing
