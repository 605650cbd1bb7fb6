#include "gear/nn/drop_path.h"

#include <ATen/ops/empty.h>

#include <vector>

namespace gear::nn {

Tensor drop_path(const Tensor& branch, double probability, bool training) {
  if (!training || probability == 0.0) return branch;
  std::vector<int64_t> per_sample(static_cast<size_t>(branch.dim()), 1);
  per_sample[0] = branch.size(0);
  const double keep = 1.0 - probability;
  const auto scale = at::empty(per_sample, branch.options()).bernoulli_(keep).div_(keep);
  return branch * scale;
}

}  // namespace gear::nn
