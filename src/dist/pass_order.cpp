#include "gear/dist/pass_order.h"

#include <ATen/ops/stack.h>
#include <c10/util/Exception.h>

namespace gear::dist {

std::vector<Tensor> in_pass_order(const std::vector<Tensor>& own, int64_t passes,
                                  const World& world) {
  if (world.is_single() || own.empty()) return own;
  const auto count = static_cast<int64_t>(own.size());
  TORCH_CHECK(count % passes == 0, "in_pass_order: ", count, " tensors in ", passes, " passes");
  const int64_t in_a_pass = count / passes;
  const Tensor all = world.stack(at::stack(own));  // [W, passes * in_a_pass, ...]
  std::vector<Tensor> ordered;
  for (int64_t pass = 0; pass < passes; ++pass) {
    for (int64_t rank = 0; rank < world.size(); ++rank) {
      for (int64_t i = 0; i < in_a_pass; ++i) {
        ordered.push_back(all.select(0, rank).select(0, pass * in_a_pass + i));
      }
    }
  }
  return ordered;
}

}  // namespace gear::dist
